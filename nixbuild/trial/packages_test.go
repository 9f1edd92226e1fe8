package trial

import (
	"archive/tar"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/nixbuild"
)

// The list is that of the tree, wherever the mode has what dpkg knows.
func TestTheListOfPackagesIsThatOfTheTree(t *testing.T) {
	rootTar := filepath.Join(t.TempDir(), "root.tar")
	f, err := os.Create(rootTar)
	if err != nil {
		t.Fatal(err)
	}
	const status = "Package: git\nStatus: install ok installed\nVersion: 1:2.39\n"
	w := tar.NewWriter(f)
	for _, h := range []*tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./var/lib/dpkg/status", Mode: 0o644, Size: int64(len(status))},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte(status)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, mode := range nixbuild.Modes() {
		p, err := newPlan(kindTrial, nixbuild.Request{Mode: mode}, suites[0])
		if err != nil {
			t.Fatal(err)
		}
		d := &diskStep{plan: p, tool: tool{report: progress.Reporter(nil)}, work: t.TempDir(), dir: t.TempDir()}
		as, err := d.fakeroot()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.unpack(t.Context(), as, rootTar); err != nil {
			t.Fatal(err)
		}
		if err := nixbuild.WriteDebianPackages(d.dir, d.dpkgStatus()); err != nil {
			t.Fatal(err)
		}
		got, err := nixbuild.Image{Dir: d.dir}.Packages()
		if diff := cmp.Diff(nixbuild.Packages{"git": {"1:2.39"}}, got); diff != "" || err != nil {
			t.Errorf("%s (-want +got):\n%s%v", mode, diff, err)
		}
	}
}
