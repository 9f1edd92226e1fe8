package pvesim

import (
	"fmt"
	"slices"
	"strings"
)

// optionPrivileges name the privilege that an option of a VM needs (source; the
// minimal set of facts 5 fits). What is not listed needs VM.Config.Options.
var optionPrivileges = map[string][]string{
	"VM.Config.CPU":     {"affinity", "cores", "cpu", "cpulimit", "cpuunits", "numa", "smp", "sockets", "vcpus"},
	"VM.Config.Memory":  {"allow-ksm", "balloon", "hugepages", "keephugepages", "memory", "shares"},
	"VM.Config.Network": {"ipconfig", "nameserver", "net", "searchdomain"},
	"VM.Config.HWType": {
		"acpi", "amd-sev", "arch", "audio", "bios", "hostpci", "hotplug", "intel-tdx", "ivshmem", "keyboard", "kvm", "localtime", "machine",
		"parallel", "rng", "scsihw", "serial", "smbios", "spice_enhancements", "tablet", "tdf", "usb", "vga", "watchdog",
	},
	"VM.Config.Disk":      {"efidisk", "ide", "sata", "scsi", "tpmstate", "unused", "virtio"},
	"VM.Config.Cloudinit": {"cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "sshkeys"},
}

// rootOptions can be set by root@pam with a password only (recorded 68, 461; facts 5).
var rootOptions = []string{"args", "hookscript", "lock", "vmstate", "runningcpu", "runningmachine", "parallel", "ivshmem"}

// checkOption fails unless the caller may set the option of a VM to the value;
// deleting it has the value "".
func (s *Server) checkOption(c *call, id int, key, value string) error {
	family := strings.TrimRight(key, "0123456789")
	if c.who.isRoot() {
		return nil
	}
	switch {
	case slices.Contains(rootOptions, family):
		return failf("only root can set '%s' config", key) // recorded 68
	case family == "serial" && value != "" && value != "socket":
		return failf("only root can set '%s' config for real devices", key) // source
	case family == "usb" && !strings.HasPrefix(value, "spice") && value != "" && mappingOf(value) == "":
		return failf("only root can set '%s' config for real devices", key) // source
	case family == "hostpci" && value != "":
		mapping := mappingOf(value)
		if mapping == "" {
			return failf("only root can set '%s' config for non-mapped devices", key) // recorded 52
		}
		if err := s.check(c, "/mapping/pci/"+mapping, "Mapping.Use"); err != nil {
			return err
		}
	}
	path := fmt.Sprintf("/vms/%d", id)
	if isDrive(key) && strings.Contains(value, "media=cdrom") {
		return s.check(c, path, "VM.Config.CDROM") // source
	}
	if privilege := privilegeOf(family); privilege != "VM.Config.Cloudinit" {
		return s.check(c, path, privilege)
	}
	return s.checkAny(c, path, "VM.Config.Cloudinit", "VM.Config.Network")
}

func privilegeOf(family string) string {
	for privilege, families := range optionPrivileges {
		if slices.Contains(families, family) {
			return privilege
		}
	}
	return "VM.Config.Options"
}

func mappingOf(value string) string {
	for part := range strings.SplitSeq(value, ",") {
		if mapping, ok := strings.CutPrefix(part, "mapping="); ok {
			return mapping
		}
	}
	return ""
}

// checkOptions checks all options of a request, and the bridges of its nets
// (recorded 645).
func (s *Server) checkOptions(c *call, id int, options map[string]string) error {
	for _, key := range sortedKeys(options) {
		if err := s.checkOption(c, id, key, options[key]); err != nil {
			return err
		}
	}
	for _, key := range sortedKeys(options) {
		if !strings.HasPrefix(key, "net") {
			continue
		}
		for part := range strings.SplitSeq(options[key], ",") {
			if bridge, ok := strings.CutPrefix(part, "bridge="); ok {
				if err := s.check(c, "/sdn/zones/localnetwork/"+bridge, "SDN.Use"); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// checkSkipLock allows it to root@pam only (recorded 466).
func checkSkipLock(c *call) error {
	if c.flag("skiplock") && !c.who.isRoot() {
		return invalidParameter("skiplock", "Only root may use this option.")
	}
	return nil
}
