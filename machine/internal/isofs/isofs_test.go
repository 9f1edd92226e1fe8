package isofs_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/machine/internal/isofs"
	"github.com/nixvm/nixvm/machine/internal/isofs/isotest"
)

func build(tb testing.TB, files ...isofs.File) []byte {
	tb.Helper()
	image, err := isofs.Build("NIXVMID", files)
	if err != nil {
		tb.Fatal(err)
	}
	return image
}

// sample has the longest name of the identity, one with each odd character, an
// empty file, one of exactly one sector and one of a little more.
func sample() []isofs.File {
	return []isofs.File{
		{Name: "admin_authorized_keys", Data: []byte("key\n"), Mode: 0o644},
		{Name: "machine-id", Data: bytes.Repeat([]byte("m"), 2048), Mode: 0o644},
		{Name: "resolv.conf", Data: bytes.Repeat([]byte("r"), 2049), Mode: 0o644},
		{Name: "root_password_hash", Mode: 0o600},
		{Name: "MixedCase.x.y_z-", Data: []byte("x"), Mode: 0o400},
	}
}

func TestAnotherReaderSeesNamesAndContent(t *testing.T) {
	want := map[string]string{}
	for _, f := range sample() {
		want[f.Name] = string(f.Data)
	}
	if diff := cmp.Diff(want, isotest.Files(t, build(t, sample()...))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnotherReaderSeesPermissionsAndTimes(t *testing.T) {
	vol := isotest.Open(t, build(t, sample()...))
	for _, f := range sample() {
		fi, err := fs.Stat(vol, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != fs.FileMode(f.Mode) || fi.Size() != int64(len(f.Data)) || fi.ModTime().UTC().Year() != 2000 {
			t.Errorf("%s: %v, %d bytes, %v", f.Name, fi.Mode(), fi.Size(), fi.ModTime())
		}
	}
}

func TestManyFilesFillSeveralSectorsOfTheDirectory(t *testing.T) {
	want := map[string]string{}
	var files []isofs.File
	for i := range 100 {
		f := isofs.File{Name: fmt.Sprintf("%s-%d", strings.Repeat("n", 1+i), i), Data: fmt.Appendf(nil, "%d", i), Mode: 0o644}
		files, want[f.Name] = append(files, f), string(f.Data)
	}
	if diff := cmp.Diff(want, isotest.Files(t, build(t, files...))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheOrderOfFilesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, err := isofs.Build("NIXVMID", sample())
		if err != nil {
			rt.Fatal(err)
		}
		b, err := isofs.Build("NIXVMID", rapid.Permutation(sample()).Draw(rt, "order"))
		if err != nil || !bytes.Equal(a, b) {
			rt.Fatalf("the bytes differ, %v", err)
		}
	})
}

func TestWhatCannotStandOnAVolume(t *testing.T) {
	for _, label := range []string{"", "nixvmid", "A B", strings.Repeat("A", 33)} {
		if _, err := isofs.Build(label, nil); err == nil {
			t.Errorf("label %q was taken", label)
		}
	}
	for _, name := range []string{"", ".", "..", ".x", "a/b", "a b", "a\x00", "ä", strings.Repeat("a", 129)} {
		if _, err := isofs.Build("X", []isofs.File{{Name: name}}); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	if _, err := isofs.Build("X", []isofs.File{{Name: "a"}, {Name: "a"}}); err == nil {
		t.Error("two files of one name were taken")
	}
}

func TestAnEmptyVolume(t *testing.T) {
	if got := isotest.Files(t, build(t)); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// xorriso is the reference: it checks the structures and extracts by Rock Ridge.
func TestXorrisoExtractsTheFiles(t *testing.T) {
	xorriso, err := exec.LookPath("xorriso")
	if err != nil {
		t.Skip("xorriso is not installed (apt install xorriso)")
	}
	dir := t.TempDir()
	image, out := filepath.Join(dir, "volume.iso"), filepath.Join(dir, "out")
	if err := os.WriteFile(image, build(t, sample()...), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := exec.Command(xorriso, "-abort_on", "WARNING", "-indev", image, "-pvd_info", "-lsl", "/", "--",
		"-osirrox", "on", "-extract", "/", out).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	for _, want := range []string{"Volume Id    : NIXVMID", "-rw-------    1 0        0               0 Jan  1  2000 'root_password_hash'"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("xorriso does not say %q:\n%s", want, log)
		}
	}
	for _, f := range sample() {
		data, err := os.ReadFile(filepath.Join(out, f.Name))
		if err != nil || !slices.Equal(data, f.Data) {
			t.Errorf("%s: %d bytes, %v", f.Name, len(data), err)
		}
	}
}
