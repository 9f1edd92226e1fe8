// Package boot decides how a VM boots from its image.
package boot

import (
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// Choose returns the image of a VM with what this VM boots: with Kernel for direct
// boot, or without one for the boot loader on its disk, by UEFI. It is for hypervisors
// that can do both. Files that the VM boots and that do not exist are image.not_found;
// an image that cannot boot in the mode of the VM is image.unsupported.
//
// The kernel of the image boots a VM with a read-only root, which needs no firmware and
// saves a second or two. A mutable guest installs kernels of its own, together with
// their modules, so that only its own boot loader knows which one to start.
func Choose(s backends.Spec) (backends.Image, error) {
	if !s.Mutable && s.Image.Kernel != "" {
		return s.Image, backends.CheckImage(s.Image)
	}
	return Loader(s)
}

// Loader is Choose for hypervisors that boot from disks only.
func Loader(s backends.Spec) (backends.Image, error) {
	i := s.Image
	if i.NoBootLoader {
		p := problem.New(problem.ImageUnsupported, "VM %s cannot boot image %s: its disk has no boot loader", s.Name, i.ID)
		switch {
		case i.Kernel == "":
			return i, p.WithHint("it has no kernel beside the disk either; use another image")
		case s.Mutable:
			return i, p.WithHint("a mutable VM boots from its own disk; use another image, or another mode")
		}
		return i, p.WithHint("this backend boots from disks only; use another image, or another backend")
	}
	i.Kernel, i.Initrd, i.Cmdline = "", "", ""
	return i, backends.CheckImage(i)
}
