package machine

import (
	"context"
	"maps"
	"slices"

	"github.com/nixvm/nixvm/internal/names"
)

// ownFiles are those of a machine directory that no other machine may have: its
// identity, its address, and what is reserved for it on a host.
var ownFiles = []string{
	HostnameFile, MachineIDFile, UUIDFile, MACFile, HostKeyFile, HostKeyPubFile,
	StaticIPFile, VMIDFile, PCIDevicesFile,
}

// Clone makes a machine with the settings of another one, changed by ch, and an
// identity of its own. Static IP, VM number and PCI devices stay with the
// source, files that we do not know as well. Whole, or not at all, as Create;
// the problems are those of Read for the source, machine.exists, disk.full, and
// those of Update for ch.
func (s *Store) Clone(ctx context.Context, source, name string, ch Changes) (Machine, error) {
	unlock, err := s.lock()
	if err != nil {
		return Machine{}, err
	}
	defer unlock()
	c, wrong, err := s.cloned(source, name, ch)
	if err != nil {
		return Machine{}, err
	}
	if len(wrong) > 0 {
		return Machine{}, wrong[0].Err
	}
	return s.make(ctx, name, c)
}

// CheckClone says what Clone would refuse, and makes nothing: the changes, each
// setting by itself, or else the machines (the error).
func (s *Store) CheckClone(source, name string, ch Changes) ([]SettingProblem, error) {
	_, wrong, err := s.cloned(source, name, ch)
	return wrong, err
}

// cloned is the content of the new directory, but its identity.
func (s *Store) cloned(source, name string, ch Changes) (content, []SettingProblem, error) {
	if err := names.Machine(source); err != nil {
		return nil, nil, err
	}
	if err := names.NewMachine(name); err != nil {
		return nil, nil, err
	}
	old, have, err := s.read(source)
	if err != nil {
		return nil, nil, asProblem(err, (*Fault).broken)
	}
	if s.Exists(name) {
		return nil, nil, exists(name)
	}
	want, _, wrong := ch.lay(old, have)
	maps.DeleteFunc(want, func(file string, _ []byte) bool { return slices.Contains(ownFiles, file) })
	return want, wrong, nil
}
