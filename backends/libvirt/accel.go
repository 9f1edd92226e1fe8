package libvirt

import (
	"context"

	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/internal/problem"
)

// chooseAccel returns the accelerator for a guest of this image: KVM where
// libvirt offers it and, on this host, a guest really gets up with it.
func (b *Backend) chooseAccel(ctx context.Context, image backends.Image) (string, error) {
	if forced := b.accel.Forced(); forced != "" {
		return forced, nil
	}
	caps, err := b.host(ctx)
	if err != nil {
		return "", err
	}
	switch {
	case emulatorFor(caps, host.KVM) == "":
		return host.TCG, nil
	case !b.target.local():
		return host.KVM, nil
	}
	return b.accel.Choose(ctx, image)
}

// emulator is the QEMU that libvirt runs on its host.
func (b *Backend) emulator(ctx context.Context) (string, error) {
	caps, err := b.host(ctx)
	if err != nil {
		return "", err
	}
	if path := emulatorFor(caps, "qemu"); path != "" {
		return path, nil
	}
	return "", problem.New(problem.BackendMissing, "libvirt has no QEMU for x86_64").
		WithHint("Debian, Ubuntu: sudo apt install qemu-system-x86; Fedora: sudo dnf install qemu-system-x86-core")
}

// emulatorFor is the program that runs x86_64 guests of a type, "kvm" or
// "qemu"; empty = there is none.
func emulatorFor(caps libvirtxml.Caps, virtType string) string {
	for _, g := range caps.Guests {
		if g.OSType != "hvm" || g.Arch.Name != "x86_64" {
			continue
		}
		for _, d := range g.Arch.Domains {
			if d.Type != virtType {
				continue
			}
			if d.Emulator != "" {
				return d.Emulator
			}
			return g.Arch.Emulator
		}
	}
	return ""
}
