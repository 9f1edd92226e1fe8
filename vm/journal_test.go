package vm

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

func testHeader() journalHeader {
	return journalHeader{ID: "01J", Kind: KindStop, Machine: "demo", Started: time.Now(), Args: []byte(`{}`)}
}

func TestATornLastLineOfAJournalIsIgnored(t *testing.T) {
	dir := t.TempDir()
	j, err := createJournal(dir, testHeader())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range [][2]string{{"begin", "a"}, {"done", "a"}, {"begin", "b"}} {
		if err := j.append(e[0], e[1]); err != nil {
			t.Fatal(err)
		}
	}
	j.close()
	whole, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(j.path, whole[:len(whole)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := readJournal(j.path)
	if err != nil || !r.done["a"] || r.begun["b"] {
		t.Errorf("read %+v, %v", r, err)
	}
}

func TestAJournalThatCannotBeReadIsKeptAndNamed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "01X.jsonl")
	if err := os.WriteFile(path, []byte("garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	records, bad, err := readJournals(dir)
	if err != nil || len(records) != 0 || len(bad) != 1 || !strings.Contains(bad[0].Error(), path) {
		t.Errorf("got %v, %v, %v", records, bad, err)
	}
}

func FuzzReadJournal(f *testing.F) {
	f.Add([]byte(`{"version":1,"id":"x","kind":"stop","machine":"demo","args":{}}` + "\n" + `{"event":"begin","step":"a"}` + "\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readJournal(path)
		if err != nil {
			return
		}
		p := plan{steps: []step{{name: "a"}, {name: "b"}}}
		if done, begun := progressOf(p, r); len(done) > 2 || begun > 2 {
			t.Errorf("more steps than there are: %v, %d", done, begun)
		}
	})
}

// Half an entry, as a disk that fills up leaves it, is taken back: what comes after
// it would not be read.
func TestAnEntryThatDoesNotFitLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	j, err := createJournal(dir, journalHeader{ID: "one", Kind: KindStart, Machine: "demo", Args: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	fi, err := j.file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(fi.Size()) + 5, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	full := j.append("begin", "start")
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if full == nil {
		t.Fatal("it fits")
	}
	if err := j.write(journalEntry{Event: "unresolved", Code: problem.Internal, Message: "why"}); err != nil {
		t.Fatal(err)
	}
	if r, err := readJournal(j.path); err != nil || r.unresolved == nil || len(r.begun) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
