// Package hostpci reads the values of the file pci_devices of a machine: PCI devices of
// a host, in the form of the hostpciN options of Proxmox VE (qm(1)), which
// nixos-vm-template writes there:
//
//	01:00.0                               one function
//	0000:01:00                            all functions of a device
//	0000:01:00.0;0000:01:00.1,rombar=0    several functions, and an option of them
//	mapping=gpu                           a mapping of the cluster, on Proxmox VE only
package hostpci

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// AllFunctions is the Function of an address without one.
const AllFunctions = -1

// Address is the place of a device on the PCI buses of its host.
type Address struct {
	Domain    uint32
	Bus, Slot uint8
	Function  int8 // 0 to 7, or AllFunctions
}

// String is the form that the kernel uses in /sys/bus/pci/devices: 0000:01:00.0,
// without the function if that is AllFunctions.
func (a Address) String() string {
	s := fmt.Sprintf("%04x:%02x:%02x", a.Domain, a.Bus, a.Slot)
	if a.Function != AllFunctions {
		s += fmt.Sprintf(".%d", a.Function)
	}
	return s
}

// Covers reports whether a function is, or is one of, those that a means.
func (a Address) Covers(function Address) bool {
	if a.Function == AllFunctions {
		function.Function = AllFunctions
	}
	return a == function
}

// Compare orders addresses as the kernel numbers them.
func (a Address) Compare(b Address) int { return strings.Compare(a.String(), b.String()) }

// Option is one of the options behind the addresses.
type Option struct{ Name, Value string }

// Device is a value: addresses, or a mapping of a cluster, and options.
type Device struct {
	Addresses []Address
	Mapping   string
	Options   []Option
}

var addressRE = regexp.MustCompile(`^(?:([0-9a-fA-F]{4,8}):)?([0-9a-fA-F]{2}):([01][0-9a-fA-F])(?:\.([0-7]))?$`)

// ParseAddress reads 0000:01:00.0; the domain, 0000, and the function may be absent.
func ParseAddress(text string) (Address, error) {
	m := addressRE.FindStringSubmatch(text)
	if m == nil {
		return Address{}, fmt.Errorf("%q is not the address of a PCI device", clip(text))
	}
	a := Address{Function: AllFunctions}
	domain, derr := strconv.ParseUint("0"+m[1], 16, 32)
	bus, berr := strconv.ParseUint(m[2], 16, 8)
	slot, serr := strconv.ParseUint(m[3], 16, 8)
	for _, err := range []error{derr, berr, serr} {
		if err != nil {
			return Address{}, fmt.Errorf("%q is not the address of a PCI device: %w", clip(text), err)
		}
	}
	a.Domain, a.Bus, a.Slot = uint32(domain), uint8(bus), uint8(slot)
	if m[4] != "" {
		a.Function = int8(m[4][0] - '0')
	}
	return a, nil
}

// options are those of Proxmox VE, see qm(1).
var options = []string{
	"device-id", "driver", "legacy-igd", "mapping", "mdev", "pcie", "rombar", "romfile", "sub-device-id", "sub-vendor-id", "vendor-id", "x-vga",
}

var optionValueRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)

// Parse reads a value.
func Parse(text string) (Device, error) {
	var d Device
	for i, part := range strings.Split(text, ",") {
		name, value, named := strings.Cut(part, "=")
		if i == 0 && !named {
			name, value = "host", part
		}
		switch {
		case name == "host":
			for _, word := range strings.Split(value, ";") {
				a, err := ParseAddress(word)
				if err != nil {
					return Device{}, err
				}
				if slices.Contains(d.Addresses, a) {
					return Device{}, fmt.Errorf("%s is named twice", a)
				}
				d.Addresses = append(d.Addresses, a)
			}
		case !slices.Contains(options, name):
			return Device{}, fmt.Errorf("%q is not an option of a PCI device; the options are %s", clip(name), strings.Join(options, ", "))
		case !optionValueRE.MatchString(value) || strings.Contains(value, ".."):
			return Device{}, fmt.Errorf("the option %s has no valid value", name)
		case name == "mapping":
			d.Mapping = value
		default:
			d.Options = append(d.Options, Option{name, value})
		}
	}
	if (len(d.Addresses) > 0) == (d.Mapping != "") {
		return Device{}, fmt.Errorf("%q names no PCI device", clip(text))
	}
	return d, nil
}

// Switch reads the value of an option that is on or off.
func (o Option) Switch() (on bool, err error) {
	switch strings.ToLower(o.Value) {
	case "1", "on", "yes", "true":
		return true, nil
	case "0", "off", "no", "false":
		return false, nil
	}
	return false, fmt.Errorf("%s=%s: write 1 or 0", o.Name, clip(o.Value))
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}
