package vm

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
)

// checkPCIDevices refuses the PCI devices of a machine that its VM would not get: without
// a word, it would run without them.
func (s *Service) checkPCIDevices(ctx context.Context, b backends.Backend, name string, devices []string) error {
	if len(devices) == 0 {
		return nil
	}
	var err error
	if host, ok := backends.As[backends.PCIHost](b); !ok {
		err = s.noPCIDevices(b, name)
	} else if err = host.CheckPCIDevices(ctx, devices); err != nil {
		err = fmt.Errorf("%s: %w", s.pciFile(name), err)
	}
	if err == nil {
		return nil
	}
	if now, rerr := s.machines.Read(name); rerr == nil && !slices.Equal(now.PCIDevices, devices) {
		s.inventory.Reload(name) // the file was changed just now
		return s.checkPCIDevices(ctx, b, name, now.PCIDevices)
	}
	return err
}

// noPCIDevices says that the PCI devices of a machine are not applied, and why.
func (s *Service) noPCIDevices(b backends.Backend, name string) *problem.Error {
	file := s.pciFile(name)
	return problem.New(problem.Unsupported, "%s: %s; they are not applied", file, backends.NoPCIDevices(b.Name()).Message).
		WithHint("delete the file to use the VM without them: rm %s", file)
}

// pciProblem is noPCIDevices where that holds for a machine; else nil.
func (s *Service) pciProblem(b backends.Backend, m *machine.Machine) *problem.Error {
	if b == nil || m == nil || len(m.PCIDevices) == 0 {
		return nil
	}
	if _, ok := backends.As[backends.PCIHost](b); ok {
		return nil
	}
	return s.noPCIDevices(b, m.Name)
}

// startRestored starts a VM whose disk has been restored, whatever its machine's file says
// of PCI devices by now: that is said, and does not hold up the restore.
func (s *Service) startRestored(ctx context.Context, r *operation.Run, name string) error {
	if err := s.startVM(ctx, name); err != nil {
		return err
	}
	m, b, err := s.realised(name)
	if p := s.pciProblem(b, &m); err == nil && p != nil {
		r.Warn(p.Message)
	}
	return nil
}

func (s *Service) pciFile(name string) string {
	return filepath.Join(s.machines.Dir(name), machine.PCIDevicesFile)
}

// devicesOn are the PCI devices of a machine that its VM on the backend gets. One that
// ran without them before they were refused goes on so.
func devicesOn(b backends.Backend, m machine.Machine) []string {
	if _, ok := backends.As[backends.PCIHost](b); !ok {
		return nil
	}
	return slices.Clone(m.PCIDevices)
}
