package rotate

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const limit = 1000

func newFile(t *testing.T) *File {
	t.Helper()
	dir := t.TempDir()
	f := &File{Path: filepath.Join(dir, "log"), Old: filepath.Join(dir, "log.old"), Limit: limit}
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, f *File, text string) {
	t.Helper()
	if n, err := f.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("%d of %d bytes, %v", n, len(text), err)
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAFloodStaysWithinTheLimit(t *testing.T) {
	f := newFile(t)
	for i := range 500 {
		write(t, f, strings.Repeat("x", i)+"\n")
		for _, path := range []string{f.Path, f.Old} {
			if st, err := os.Stat(path); err == nil && st.Size() > limit {
				t.Fatalf("%s has %d bytes", path, st.Size())
			}
		}
	}
	write(t, f, "the last words\n")
	if got := text(t, f.Path); !strings.HasSuffix(got, "the last words\n") {
		t.Errorf("it ends with %q", got[max(0, len(got)-20):])
	}
	if got := text(t, f.Old); !strings.HasSuffix(got, "x\n") {
		t.Errorf("the old one ends with %q", got[max(0, len(got)-20):])
	}
}

func TestOneWriteThatIsLongerThanTheLimit(t *testing.T) {
	f := newFile(t)
	write(t, f, strings.Repeat("y", 3*limit)+"end")
	if got := text(t, f.Path); len(got) != limit || !strings.HasSuffix(got, "yend") {
		t.Errorf("%d bytes", len(got))
	}
}

func TestALogThatWasTooLargeIsPutAside(t *testing.T) {
	f := newFile(t)
	if err := os.WriteFile(f.Path, bytes.Repeat([]byte("z"), 5*limit), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, f, "new\n")
	if got := text(t, f.Path); got != "new\n" {
		t.Errorf("%d bytes", len(got))
	}
	if got := text(t, f.Old); len(got) != 5*limit {
		t.Errorf("%d bytes are put aside", len(got))
	}
}

// A directory stands where the old log belongs, which no rename replaces.
func TestTheLimitHoldsWhereNothingCanBePutAside(t *testing.T) {
	f := newFile(t)
	if err := os.MkdirAll(filepath.Join(f.Old, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		write(t, f, strings.Repeat("x", limit/3))
		if st, err := os.Stat(f.Path); err != nil || st.Size() > limit {
			t.Fatalf("%v, %v", st.Size(), err)
		}
	}
}

func TestALogThatIsRemovedIsBegunAgain(t *testing.T) {
	f := newFile(t)
	write(t, f, "one\n")
	if err := os.Remove(f.Path); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		write(t, f, strings.Repeat("x", limit/4))
	}
	if got := text(t, f.Path); len(got) == 0 || len(got) > limit {
		t.Errorf("%d bytes", len(got))
	}
}

func TestEachFileIsTold(t *testing.T) {
	f := newFile(t)
	var names []string
	f.Opened = func(file *os.File) error { names = append(names, file.Name()); return nil }
	for range 3 {
		write(t, f, strings.Repeat("x", limit))
	}
	if len(names) != 3 {
		t.Errorf("%d files", len(names))
	}
}
