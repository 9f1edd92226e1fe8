package vm

import (
	"path/filepath"
	"slices"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// noPCIDevices says that the PCI devices of a machine are not applied, and why.
func (s *Service) noPCIDevices(why *problem.Error, name string) *problem.Error {
	file := s.pciFile(name)
	return problem.New(problem.Unsupported, "%s: %s; they are not applied", file, why.Message).
		WithHint("delete the file to use the VM without them: rm %s", file)
}

// pciProblem is noPCIDevices where that holds for a machine; else nil.
func (s *Service) pciProblem(b backends.Backend, m *machine.Machine) *problem.Error {
	if b == nil || m == nil || len(m.PCIDevices) == 0 {
		return nil
	}
	if _, p := backends.PCIHostOf(b); p != nil {
		return s.noPCIDevices(p, m.Name)
	}
	return nil
}

func (s *Service) pciFile(name string) string {
	return filepath.Join(s.machines.Dir(name), machine.PCIDevicesFile)
}

// devicesOn are the PCI devices of a machine that its VM on the backend gets. One that
// ran without them before they were refused goes on so.
func devicesOn(b backends.Backend, m machine.Machine) []string {
	if _, p := backends.PCIHostOf(b); p != nil {
		return nil
	}
	return slices.Clone(m.PCIDevices)
}
