package vm

import (
	"maps"
	"slices"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/vm/inventory"
)

// settingsOf gives identity files the names of their settings, in the order of the
// files. Both files of keys are one setting.
func settingsOf(files []string) []string {
	var names []string
	for _, file := range files {
		if name := identitySettings[file]; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

var identitySettings = map[string]string{
	machine.TCPPortsFile: fieldTCPPorts, machine.UDPPortsFile: fieldUDPPorts, machine.AllowedCIDRsFile: fieldAllowedCIDRs,
	machine.AdminKeysFile: fieldAuthorizedKeys, machine.UserKeysFile: fieldAuthorizedKeys, machine.HostsFile: "hosts",
	machine.ResolvConfFile: "resolvConf", machine.RootPasswordFile: "rootPassword", machine.StaticIPFile: "staticIp",
	machine.CACertFile: "caCert", machine.HostnameFile: "hostname", machine.MachineIDFile: "machineId", machine.HostKeyFile: "hostKey",
}

// noteIdentity keeps in the record which identity a VM is about to be started with. A
// guest that runs has the one that it was started with, and is left alone.
func (s *Service) noteIdentity(name string, m machine.Machine, r inventory.Record) error {
	e, ok := s.inventory.Get(name)
	if !ok || inventory.Alive(e.Status.State) {
		return nil
	}
	digests := machine.FileDigests(m)
	if old := e.Record; old != nil && old.Generation == r.Generation && len(old.AtBoot) == 0 && maps.Equal(old.Identity, digests) {
		return nil
	}
	return problem.Disk(s.inventory.UpdateRecord(name, func(now *inventory.Record) {
		now.Generation, now.Digest, now.Identity, now.AtBoot = r.Generation, r.Digest, digests, nil
	}))
}

// identityInForce notes that a guest has rebooted by itself: it has read its medium
// again, and all of it is in force.
func (s *Service) identityInForce(name string) {
	r := s.recordOf(name)
	if r == nil || len(r.AtBoot) == 0 {
		return
	}
	if err := s.inventory.UpdateRecord(name, func(now *inventory.Record) { now.AtBoot = nil }); err != nil {
		s.log.Warn("that a guest has put its settings into force is not noted", "machine", name, "error", err)
	}
}
