package nixbuild

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestTheListOfDebianPackagesIsThatOfDpkg(t *testing.T) {
	dir := t.TempDir()
	img := Image{Dir: dir}
	status := filepath.Join(dir, "status")
	if err := WriteDebianPackages(dir, status); err != nil {
		t.Fatal(err)
	}
	if _, err := img.Packages(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a status file: %v", err)
	}
	text := `Package: git
Status: install ok installed
Version: 1:2.39.5-0+deb12u2
Description: fast, scalable
 Package: of its text
 .
 Version: 7

Package: gone
Status: deinstall ok config-files
Version: 1.0

Package: linux-image
Status: hold ok installed
Version: 6.1.140-1
`
	if err := os.WriteFile(status, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteDebianPackages(dir, status); err != nil {
		t.Fatal(err)
	}
	got, err := img.Packages()
	want := Packages{"git": {"1:2.39.5-0+deb12u2"}, "linux-image": {"6.1.140-1"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
}

func TestADamagedListOfPackagesIsRefused(t *testing.T) {
	for what, text := range map[string]string{
		"no version": "git\n", "a third word": "git 1 2\n", "a control character": "git 1\x1b[2J\n", "an empty line": "git 1\n\n",
		"a long line": "git " + strings.Repeat("1", 400) + "\n", "too large": strings.Repeat("git 1\n", maxPackages/6+1),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, PackagesFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := (Image{Dir: dir}).Packages(); !problem.HasCode(err, problem.ImageCorrupt) {
			t.Errorf("%s: %v, %v", what, p, err)
		}
	}
}

func TestImagesAreComparedByVersions(t *testing.T) {
	before := Packages{"same": {"1"}, "other": {"1"}, "more": {"1"}, "gone": {"1"}}
	after := Packages{"same": {"1"}, "other": {"2"}, "more": {"1", "2"}, "new": {"1"}}
	want := []PackageChange{
		{"gone", []string{"1"}, nil}, {"more", []string{"1"}, []string{"1", "2"}}, {"new", nil, []string{"1"}}, {"other", []string{"1"}, []string{"2"}},
	}
	if diff := cmp.Diff(want, before.Compare(after)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
