package vm

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// checkPCIDevices refuses the PCI devices of a machine that its VM would not get: without
// a word, it would run without them.
func (s *Service) checkPCIDevices(ctx context.Context, b backends.Backend, name string, devices []string, memoryMiB int) error {
	if len(devices) == 0 {
		return nil
	}
	host, p := backends.PCIHostOf(b)
	var err error = p
	if p == nil {
		err = host.CheckPCIDevices(ctx, backends.PCIRequest{VM: s.ref(name), Devices: devices, MemoryMiB: memoryMiB})
	}
	if err == nil {
		return nil
	}
	now, rerr := s.machines.Read(name)
	switch {
	case rerr == nil && !slices.Equal(now.PCIDevices, devices) && s.inventoryHas(name, devices):
		s.inventory.Reload(name) // the file was changed just now
		return s.checkPCIDevices(ctx, b, name, now.PCIDevices, memoryMiB)
	case rerr != nil || !slices.Equal(now.PCIDevices, devices):
		return err // of a request
	case p != nil:
		return s.noPCIDevices(p, name)
	}
	return fmt.Errorf("%s: %w", s.pciFile(name), err)
}

// inventoryHas reports whether devices are those of a machine as it was read last.
func (s *Service) inventoryHas(name string, devices []string) bool {
	e, ok := s.inventory.Get(name)
	return ok && e.Machine != nil && slices.Equal(e.Machine.PCIDevices, devices)
}

// checkPCIChange refuses a change of the devices that the VM could not have, and any change
// of a machine whose devices its backend never gives. What is wrong with them on the host at
// the moment does not hold up other changes.
func (s *Service) checkPCIChange(ctx context.Context, b backends.Backend, m machine.Machine, req api.ConfigureParams) error {
	if req.PCIDevices != nil {
		return s.checkPCIDevices(ctx, b, m.Name, req.PCIDevices, given(req.MemoryMiB, m.MemoryMiB))
	}
	if p := s.pciProblem(b, &m); p != nil {
		return p
	}
	return nil
}

// checkPCIProfiles refuses profiles that need a device which no VM of the backend gets.
func (s *Service) checkPCIProfiles(b backends.Backend, profiles []string) error {
	need := s.images.Profiles().NeedingPCI(profiles)
	if need == "" {
		return nil
	}
	if _, p := backends.PCIHostOf(b); p != nil {
		return problem.New(problem.Unsupported, "profile %s needs a PCI device of the host, and %s", need, p.Message).
			WithHint("remove the profile, or use another backend; docs/pci.md says what the host needs")
	}
	return nil
}

// doctorPCI says of each machine with PCI devices whether its VM can have them, and how.
func (s *Service) doctorPCI(ctx context.Context) []api.Finding {
	var list []api.Finding
	for _, v := range s.List() {
		b := s.backends[v.Backend]
		if b == nil || len(v.PCIDevices) == 0 {
			continue
		}
		if _, p := backends.PCIHostOf(b); p != nil {
			continue // it is the problem of the machine
		}
		f := api.Finding{
			Area: "machine " + v.Name, Code: "pci.ok", Severity: backends.Info,
			Message: v.Name + " can have its PCI devices: " + strings.Join(v.PCIDevices, ", "),
		}
		if err := s.checkPCIDevices(ctx, b, v.Name, v.PCIDevices, v.MemoryMiB); err != nil {
			p := problem.From(err)
			f.Code, f.Severity, f.Message, f.Fix = string(p.Code), backends.Warning, p.Message, p.Hint
		}
		list = append(list, f)
	}
	return list
}

// PCIDevices lists those of the host of a backend; "" is the default backend.
func (s *Service) PCIDevices(ctx context.Context, backend string) (api.PCIListResult, error) {
	b, err := s.backend(cmp.Or(backend, s.config.DefaultBackend))
	if err != nil {
		return api.PCIListResult{}, err
	}
	host, p := backends.PCIHostOf(b)
	if host == nil {
		return api.PCIListResult{}, p
	}
	r := api.PCIListResult{Backend: b.Name()}
	if p != nil {
		r.Problem = p.Message
	}
	r.Devices, err = host.PCIDevices(ctx)
	return r, err
}
