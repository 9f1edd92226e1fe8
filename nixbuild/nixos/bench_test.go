package nixos_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/nix/nixtest"
	"github.com/nixvm/nixvm/nixbuild/nixos"
	"github.com/nixvm/nixvm/nixbuild/nixos/nixostest"
)

// BenchmarkNothingToBuild compares, in pairs, how long the answer takes that there
// is nothing to build: nix by itself (nix-ms), the store after an edit of the
// flake that does not touch the image, which has to ask nix (edited-ms), and
// without an edit (unchanged-ms). Each is a median; over-ms is that of what the
// second takes more than nix.
func BenchmarkNothingToBuild(b *testing.B) {
	nixtest.Store(b)
	dir := b.TempDir()
	own, images := filepath.Join(dir, "flake"), filepath.Join(dir, "images")
	if err := nixostest.Write(own, ""); err != nil {
		b.Fatal(err)
	}
	s := nixbuild.OpenStore(images, nixos.New(nixos.NewFlake(own, os.DirFS(own), func(string) {}), nixbuild.RootsDir(images)))
	ensure := func() error {
		_, err := s.Ensure(b.Context(), request("dev"), nil)
		return err
	}
	bare := func() error {
		return exec.Command("nix", "--extra-experimental-features", "nix-command flakes", "build", "--json", "--out-link", filepath.Join(dir, "link"),
			"--file", filepath.Join(own, "image.nix"), "image", "--argstr", "profiles", "dev", "--argstr", "mode", "immutable").Run()
	}
	timed := func(f func() error) time.Duration {
		start := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	if err := nixtest.Retry(ensure); err != nil {
		b.Fatal(err)
	}
	took := map[string][]time.Duration{}
	for i := 0; b.Loop(); i++ {
		alone := timed(bare)
		if err := os.WriteFile(filepath.Join(own, "profiles", "agent.nix"), fmt.Appendf(nil, "# an agent\n# edit %d\n{ }\n", i), 0o600); err != nil {
			b.Fatal(err)
		}
		edited := timed(ensure)
		took["nix-ms"] = append(took["nix-ms"], alone)
		took["edited-ms"] = append(took["edited-ms"], edited)
		took["over-ms"] = append(took["over-ms"], edited-alone)
		took["unchanged-ms"] = append(took["unchanged-ms"], timed(ensure))
	}
	for unit, all := range took {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, unit)
	}
}
