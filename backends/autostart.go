package backends

import "github.com/nixvm/nixvm/internal/problem"

// NoAutostart is the refusal of a backend without the capability Autostart.
func NoAutostart(backend string) *problem.Error {
	return problem.New(problem.Unsupported, "backend %s cannot start VMs with its host", backend).
		WithHint("a backend of type libvirt can, with the uri qemu:///system or qemu+ssh://user@host/system")
}
