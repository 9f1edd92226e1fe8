package backendtest

import (
	"os"
	"path/filepath"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// swapName is the VM of testSwap.
const swapName = "conf-swap"

// testSwap needs no boot: a VM that has never run gets another image, and its own again
// when that one is gone.
func testSwap(s *suite) {
	const name = swapName
	swapper, ok := backends.As[backends.ImageSwapper](s.b)
	if !ok || s.h.Spec(s.T, name).Mutable {
		s.Skip("this backend gives no VM another image")
	}
	spec := s.h.Spec(s.T, name)
	s.refused(swapper.SwapImage(s.limit(), spec), problem.VMNotFound, "SwapImage of a VM that does not exist")
	s.create(name)
	s.snapshot(name, backends.SnapshotRequest{Name: "1"})

	next, mutable := spec, spec
	next.Image.ID, next.Image.Disk, next.Image.Format = spec.Image.ID+"-next", filepath.Join(s.TempDir(), "next.raw"), "raw"
	s.must(os.WriteFile(next.Image.Disk, make([]byte, 1<<20), 0o644), "make an image")
	s.prepare(next.Image)
	missing := next
	missing.Image.Disk += "-is-not-there"
	mutable.Mutable = true
	s.refused(swapper.SwapImage(s.limit(), missing), problem.ImageNotFound, "SwapImage to a file that is not there")
	s.refused(swapper.SwapImage(s.limit(), mutable), problem.ModeUnsupported, "SwapImage to a mutable VM")
	s.hasImage(spec.Image.ID)

	s.must(swapper.SwapImage(s.limit(), next), "SwapImage")
	s.hasImage(next.Image.ID)
	s.reopen()
	swapper = as[backends.ImageSwapper](s)
	s.hasImage(next.Image.ID)
	s.must(os.Remove(next.Image.Disk), "remove the image")
	s.must(swapper.SwapImage(s.limit(), spec), "SwapImage of a VM whose image is gone")
	s.hasImage(spec.Image.ID)
}

// hasImage checks that the VM of testSwap, which is off, has an image, and its snapshot.
func (s *suite) hasImage(image string) {
	s.Helper()
	s.state(swapName, backends.Stopped)
	s.snapshotNames(swapName, "1")
	keeper, ok := backends.As[backends.Keeper](s.b)
	if !ok {
		return
	}
	k, err := keeper.Kept(s.limit(), backends.Named(swapName))
	s.must(err, "Kept")
	if k.ImageID != image {
		s.Errorf("Kept says image %q, want %q", k.ImageID, image)
	}
}
