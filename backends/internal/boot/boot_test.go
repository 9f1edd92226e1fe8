package boot

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestTheKernelBootsDirectlyUnlessTheGuestOwnsIt(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"disk", "kernel", "initrd"} {
		if err := os.WriteFile(file(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	loader := backends.Image{ID: "img", Disk: file("disk"), Format: "raw"}
	both := loader
	both.Kernel, both.Initrd, both.Cmdline = file("kernel"), file("initrd"), "ro"
	kernel := both
	kernel.NoBootLoader = true
	neither := loader
	neither.NoBootLoader = true
	gone, noDisk := both, both
	gone.Kernel += "-gone"
	noDisk.Disk += "-gone"

	none, unsupported, notFound := problem.Code(""), problem.ImageUnsupported, problem.ImageNotFound
	for name, c := range map[string]struct {
		image               backends.Image
		direct              bool         // an immutable VM boots the kernel
		fixed, mutable, all problem.Code // refusals of Choose in both modes, and of Loader
	}{
		"a boot loader only":       {loader, false, none, none, none},
		"a kernel beside the disk": {both, true, none, none, none},
		"a kernel only":            {kernel, true, none, unsupported, unsupported},
		"neither":                  {neither, false, unsupported, unsupported, unsupported},
		"a kernel that is gone":    {gone, true, notFound, none, none},
		"a disk that is gone":      {noDisk, true, notFound, notFound, notFound},
	} {
		for how, got := range map[string]struct {
			choose  func(backends.Spec) (backends.Image, error)
			mutable bool
			direct  bool
			want    problem.Code
		}{
			"immutable":         {Choose, false, c.direct, c.fixed},
			"mutable":           {Choose, true, false, c.mutable},
			"from a disk":       {Loader, false, false, c.all},
			"mutable, from one": {Loader, true, false, c.all},
		} {
			i, err := got.choose(backends.Spec{Name: "vm", Mutable: got.mutable, Image: c.image})
			if got.want != "" {
				if p := problem.From(err); p == nil || p.Code != got.want || p.Hint == "" {
					t.Errorf("%s, %s: %v, want %s", name, how, err, got.want)
				}
				continue
			}
			want := c.image
			if !got.direct {
				want.Kernel, want.Initrd, want.Cmdline = "", "", ""
			}
			if err != nil || i != want {
				t.Errorf("%s, %s: %+v, %v", name, how, i, err)
			}
		}
	}
}
