package vm

import (
	"net/netip"
	"slices"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// The fields of requests, by the names that they have on the wire.
const (
	fieldNone           = "" // the request as a whole
	fieldName           = "name"
	fieldNewName        = "newName"
	fieldProfiles       = "profiles"
	fieldImage          = "image"
	fieldMode           = "mode"
	fieldVMID           = "vmid"
	fieldMemory         = "memoryMiB"
	fieldVCPUs          = "vcpus"
	fieldDisk           = "diskBytes"
	fieldAutostart      = "autostart"
	fieldNetwork        = "network"
	fieldBackend        = "backend"
	fieldAuthorizedKeys = "authorizedKeys"
	fieldAllowedCIDRs   = "allowedCidrs"
	fieldTCPPorts       = "tcpPorts"
	fieldUDPPorts       = "udpPorts"
	fieldPCI            = "pciDevices"
	fieldRemoteForwards = "remoteForwards"
	fieldRootPassword   = "rootPasswordHash"
	fieldStaticIP       = "staticIp"
	fieldGateway        = "gateway"
	fieldNameservers    = "nameservers"
	fieldHosts          = "hosts"
	fieldAddKeys        = "addKeys"
	fieldRemoveKeys     = "removeKeys"
	fieldSnapshot       = "snapshot"
	fieldForward        = "forward"
)

// fieldOfFile says which field of a request ends up in a file of the machine directory.
func fieldOfFile(file string) string {
	return map[string]string{
		machine.ProfileFile: fieldProfiles, machine.MutableFile: fieldMode, "mode": fieldMode, machine.ImageFile: fieldImage,
		machine.BackendFile: fieldBackend, machine.MemoryFile: fieldMemory, machine.VCPUsFile: fieldVCPUs, machine.DiskSizeFile: fieldDisk,
		machine.AutostartFile: fieldAutostart, machine.NetworkFile: fieldNetwork, machine.AdminKeysFile: fieldAuthorizedKeys,
		machine.UserKeysFile: fieldAuthorizedKeys, machine.TCPPortsFile: fieldTCPPorts, machine.UDPPortsFile: fieldUDPPorts,
		machine.AllowedCIDRsFile: fieldAllowedCIDRs, machine.RemoteForwardsFile: fieldRemoteForwards,
		machine.RootPasswordFile: fieldRootPassword, machine.StaticIPFile: fieldStaticIP, machine.ResolvConfFile: fieldNameservers,
		machine.HostsFile: fieldHosts, machine.PCIDevicesFile: fieldPCI,
	}[file]
}

// fieldErrors are the problems of a request: the first of each field, in the
// order in which they were found.
type fieldErrors struct {
	list []fieldError
}

type fieldError struct {
	field string
	err   error
}

// add notes the problem of a field; nil is none.
func (f *fieldErrors) add(field string, err error) {
	if err != nil && !f.has(field) {
		f.list = append(f.list, fieldError{field, err})
	}
}

func (f *fieldErrors) has(field string) bool { return f.of(field) != nil }

// of is the problem of a field.
func (f *fieldErrors) of(field string) error {
	i := slices.IndexFunc(f.list, func(e fieldError) bool { return e.field == field })
	if i < 0 {
		return nil
	}
	return f.list[i].err
}

// addSettings adds what does not fit into the machine directory.
func (f *fieldErrors) addSettings(list []machine.SettingProblem) {
	for _, p := range list {
		f.add(fieldOfFile(p.File), p.Err)
	}
}

// addImage adds a refusal of the image store to the field whose fault it is.
func (f *fieldErrors) addImage(err error) {
	switch {
	case problem.HasCode(err, problem.ProfileUnknown), problem.HasCode(err, problem.ProfileConflict):
		f.add(fieldProfiles, err)
	case problem.HasCode(err, problem.ModeUnsupported):
		f.add(fieldMode, err)
	default:
		f.add(fieldImage, err)
	}
}

// first is what a request is refused with; nil when nothing is wrong.
func (f *fieldErrors) first() error {
	if len(f.list) == 0 {
		return nil
	}
	return f.list[0].err
}

func given[T any](said *T, there T) T {
	if said != nil {
		return *said
	}
	return there
}

// override takes the asked value, else keeps what is there, else the default.
func override[T comparable](field *T, asked, def T) {
	var zero T
	if asked != zero {
		*field = asked
	} else if *field == zero {
		*field = def
	}
}

func appendNew[T comparable](list []T, v T) []T {
	for _, have := range list {
		if have == v {
			return list
		}
	}
	return append(list, v)
}

func parsePrefixes(words []string) ([]netip.Prefix, error) {
	list := make([]netip.Prefix, 0, len(words))
	for _, word := range words {
		p, err := netip.ParsePrefix(word)
		if address, aerr := netip.ParseAddr(word); aerr == nil {
			p, err = address.Prefix(address.BitLen())
		}
		if err != nil {
			return nil, problem.New(problem.BadParams, "allowedCidrs: %q is not a network", word).WithHint("write it as 192.168.1.0/24")
		}
		list = append(list, p.Masked())
	}
	return list, nil
}
