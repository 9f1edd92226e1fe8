package vm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/api"
)

func TestADryRunNamesThePackagesThatChange(t *testing.T) {
	old, next := t.TempDir(), t.TempDir()
	for dir, text := range map[string]string{old: "git 2.39\nopenssh 9.2\nvim 9.0\n", next: "git 2.40\nhello 2.10\nopenssh 9.2\n"} {
		err := errors.Join(os.CopyFS(dir, os.DirFS(testImage().Dir)), os.WriteFile(filepath.Join(dir, "packages"), []byte(text), 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
	h := open(t, t.TempDir(), images{dirs: map[string]string{"img1": old, "img2": next, "img4": t.TempDir()}}, nil, nil)
	h.create(t, "demo")
	preview := func(profile string) api.UpgradePreview {
		t.Helper()
		h.profiles(t, "demo", profile)
		p, err := h.PreviewUpgrade(background, api.UpgradePreviewParams{Name: "demo"})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := preview("newer")
	want := []api.PackageChange{
		{Name: "git", Before: []string{"2.39"}, After: []string{"2.40"}}, {Name: "hello", After: []string{"2.10"}}, {Name: "vim", Before: []string{"9.0"}},
	}
	if diff := cmp.Diff(want, p.Packages); diff != "" || p.NotCompared != "" {
		t.Errorf("(-want +got):\n%s%s", diff, p.NotCompared)
	}
	if p := preview("fourth"); len(p.Packages) > 0 || !strings.Contains(p.NotCompared, "the next image: it has no list of packages") {
		t.Errorf("%+v", p)
	}
	p, err := h.PreviewUpgrade(background, api.UpgradePreviewParams{Name: "demo", Image: filepath.Join("/dev", "null")})
	if err == nil && (len(p.Packages) > 0 || p.NotCompared == "") {
		t.Errorf("a file: %+v", p)
	}
}
