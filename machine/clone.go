package machine

import (
	"context"
	"maps"
	"slices"
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
	c, err := s.cloned(source, name, ch)
	if err != nil {
		return Machine{}, err
	}
	return s.make(ctx, name, c)
}

// CheckClone returns the problem that Clone would find, and makes nothing.
func (s *Store) CheckClone(source, name string, ch Changes) error {
	_, err := s.cloned(source, name, ch)
	return err
}

// cloned is the content of the new directory, but its identity.
func (s *Store) cloned(source, name string, ch Changes) (content, error) {
	for _, n := range []string{source, name} {
		if err := ValidName(n); err != nil {
			return nil, err
		}
	}
	old, have, err := s.read(source)
	if err != nil {
		return nil, asProblem(err, (*Fault).broken)
	}
	if s.Exists(name) {
		return nil, exists(name)
	}
	want, _, err := ch.over(old, have)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(want, func(file string, _ []byte) bool { return slices.Contains(ownFiles, file) })
	return want, nil
}
