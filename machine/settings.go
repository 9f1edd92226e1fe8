package machine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/names"
)

// setting ties a file to the part of a Machine that it holds.
type setting struct {
	file  string
	parse func(*Machine, text) error
	// print gives the file's content, "" when there need be no file. nil: the
	// file is generated (identity), secret, or read only.
	print func(Machine) string
}

// settings is in reading order: mutable checks what profile said, var_size
// counts only when disk_size said nothing.
var settings = []setting{
	{ProfileFile, parseProfile, printProfile},
	{MutableFile, parseMutable, printMutable},
	{ImageFile, parseImage, printImage},
	{BackendFile, parseBackend, func(m Machine) string { return oneLine(m.Backend) }},
	{HostnameFile, parseHostname, nil},
	{MachineIDFile, parseMachineID, nil},
	{UUIDFile, parseUUID, nil},
	{MACFile, parseMAC, nil},
	{HostKeyFile, parseHostKey, nil},
	{MemoryFile, parseMemory, func(m Machine) string { return fmt.Sprintln(m.MemoryMiB) }},
	{VCPUsFile, parseVCPUs, func(m Machine) string { return fmt.Sprintln(m.VCPUs) }},
	{DiskSizeFile, parseDiskSize, func(m Machine) string { return oneLine(FormatSize(m.DiskBytes)) }},
	{VarSizeFile, parseVarSize, nil},
	{AutostartFile, parseAutostart, printAutostart},
	{NetworkFile, parseNetwork, func(m Machine) string { return oneLine(m.Network.String()) }},
	{StaticIPFile, parseStaticIP, printStaticIP},
	{ResolvConfFile, parseResolvConf, func(m Machine) string { return m.ResolvConf }},
	{HostsFile, parseHosts, func(m Machine) string { return m.Hosts }},
	{CACertFile, parseCACert, nil},
	{AdminKeysFile, parseAdminKeys, func(m Machine) string {
		return list("# SSH public keys of the account admin (sudo), one a line", m.AdminKeys)
	}},
	{UserKeysFile, parseUserKeys, func(m Machine) string {
		return list("# SSH public keys of the account user (no sudo), one a line", m.UserKeys)
	}},
	{TCPPortsFile, parseTCPPorts, func(m Machine) string {
		return list("# TCP ports that the guest's firewall opens, one a line", m.TCPPorts)
	}},
	{UDPPortsFile, parseUDPPorts, func(m Machine) string {
		return list("# UDP ports that the guest's firewall opens, one a line", m.UDPPorts)
	}},
	{AllowedCIDRsFile, parseAllowedCIDRs, func(m Machine) string {
		return list("# private networks that the guest may reach, one a line", m.AllowedCIDRs)
	}},
	{RootPasswordFile, parseRootPassword, nil},
	{RemoteForwardsFile, parseRemoteForwards, printForwards},
	{AgentFile, parseAgent, func(m Machine) string { return m.AgentTOML }},
	{VMIDFile, parseVMID, printVMID},
	{PCIDevicesFile, parsePCIDevices, func(m Machine) string {
		return list("# Proxmox VE hostpci values, one a line", m.PCIDevices)
	}},
}

// oneLine is the content of a file with one value; none for no value.
func oneLine(s string) string {
	if s == "" {
		return ""
	}
	return s + "\n"
}

// list prints a comment and the items below it; none for no items.
func list[T any](comment string, items []T) string {
	if len(items) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(comment + "\n")
	for _, item := range items {
		fmt.Fprintln(&b, item)
	}
	return b.String()
}

// content is what a directory holds: file name to bytes, known names only.
type content map[string][]byte

// parse makes a Machine of the files; place turns a file's name into the one
// that errors show. The error is a *Fault, the first.
func (c content) parse(name string, place func(file string) string) (Machine, error) {
	m, faults := c.parseAll(name, place)
	if len(faults) > 0 {
		return Machine{}, faults[0]
	}
	return m, nil
}

// parseAll goes on after a fault.
func (c content) parseAll(name string, place func(file string) string) (Machine, []*Fault) {
	m := Machine{
		Name: name, Mode: Immutable, Image: ImageNixOS,
		MemoryMiB: DefaultMemoryMiB, VCPUs: DefaultVCPUs,
	}
	var faults []*Fault
	for _, s := range settings {
		data, there := c[s.file]
		if !there {
			continue
		}
		if err := s.parse(&m, text{place(s.file), data}); err != nil {
			faults = append(faults, faultOf(err, place(s.file)))
		}
	}
	if m.DiskBytes == 0 {
		m.DiskBytes = DefaultDiskBytes
	}
	return m, faults
}

// unprintable finds the few values that reading back would not catch, because
// on paper they are a comment or two lines.
func (m Machine) unprintable() []*Fault {
	var faults []*Fault
	if !slices.Contains([]Mode{Immutable, SemiMutable, Mutable, ""}, m.Mode) {
		faults = append(faults, &Fault{File: "mode", Reason: quote(string(m.Mode)) + " is not a mode", Hint: "choose immutable, semi-mutable or mutable"})
	}
	for _, p := range m.Profiles {
		if !names.IsProfile(p) {
			faults = append(faults, &Fault{File: ProfileFile, Reason: quote(p) + " is not a profile name", Hint: "use names such as claude, dev or open-code"})
		}
	}
	faults = append(faults, m.checkForwards()...)
	for _, one := range [][2]string{{ImageFile, m.Image}, {BackendFile, m.Backend}, {NetworkFile, m.Network.String()}} {
		if file, value := one[0], one[1]; strings.ContainsAny(value, "\r\n") || strings.HasPrefix(value, "#") {
			faults = append(faults, &Fault{File: file, Reason: quote(value) + " is not a value", Hint: "use one line of text that does not begin with #"})
		}
	}
	return faults
}

// print gives the files of a Machine that come from its fields.
func (m Machine) print() content {
	c := content{}
	for _, s := range settings {
		if s.print == nil {
			continue
		}
		if data := s.print(m); data != "" {
			c[s.file] = []byte(data)
		}
	}
	return c
}
