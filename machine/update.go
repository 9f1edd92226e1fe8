package machine

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// Changes says what of a machine shall be different; nil fields stay. Identity
// is not here: it never changes. Empty slices and strings remove the setting.
type Changes struct {
	Profiles       *[]string
	Mode           *Mode
	Image          *string
	Backend        *string
	MemoryMiB      *int
	VCPUs          *int
	DiskBytes      *int64 // not less than now: a file system cannot be shrunk from outside
	Autostart      *bool
	Network        *Network
	StaticIP       *StaticIP
	DHCP           bool // remove the static IP
	ResolvConf     *string
	Hosts          *string
	AdminKeys      *[]string
	UserKeys       *[]string
	TCPPorts       *[]uint16
	UDPPorts       *[]uint16
	AllowedCIDRs   *[]netip.Prefix
	RemoteForwards *[]RemoteForward
	UnreadForwards *[]UnreadForward // those to keep
	RootPassword   *string          // crypt(5) hash
	AgentTOML      *string
	VMID           *int
	PCIDevices     *[]string
}

// Update changes settings of a machine and returns it as it is then. Files
// whose setting stays the same, and files that we do not know, are not touched;
// the others are each replaced atomically, after the whole was validated. The
// problems are those of Read, and machine.invalid, size.invalid and disk.full.
func (s *Store) Update(name string, ch Changes) (Machine, error) {
	if err := names.Machine(name); err != nil {
		return Machine{}, err
	}
	unlock, err := s.lock()
	if err != nil {
		return Machine{}, err
	}
	defer unlock()
	old, have, err := s.read(name)
	if err != nil {
		return Machine{}, asProblem(err, (*Fault).broken)
	}
	_, changed, err := ch.over(old, have)
	if err != nil {
		return Machine{}, err
	}
	if err := s.replace(name, have, changed); err != nil {
		return Machine{}, writeProblem("update machine "+name, err)
	}
	return s.Read(name)
}

// over lays the changes over the files of a machine, and reads the result back:
// want is all of them, changed those that are different (empty: the file goes).
func (ch Changes) over(old Machine, have content) (want, changed content, err error) {
	want, changed, wrong := ch.lay(old, have)
	if len(wrong) > 0 {
		return nil, nil, wrong[0].Err
	}
	return want, changed, nil
}

// CheckUpdate says what Update would refuse of the changes, each setting by
// itself, and changes nothing. The error is that of the machine.
func (s *Store) CheckUpdate(name string, ch Changes) ([]SettingProblem, error) {
	if err := names.Machine(name); err != nil {
		return nil, err
	}
	old, have, err := s.read(name)
	if err != nil {
		return nil, asProblem(err, (*Fault).broken)
	}
	_, _, wrong := ch.lay(old, have)
	return wrong, nil
}

// lay is over with all problems, in the order of the settings.
func (ch Changes) lay(old Machine, have content) (want, changed content, wrong []SettingProblem) {
	if ch.DiskBytes != nil && *ch.DiskBytes < old.DiskBytes {
		err := problem.New(problem.SizeInvalid, "the disk of %s has %s and cannot shrink to %s",
			old.Name, FormatSize(old.DiskBytes), FormatSize(*ch.DiskBytes)).
			WithHint("choose a larger size, or create another machine and copy what you need")
		wrong = append(wrong, SettingProblem{DiskSizeFile, err})
		ch.DiskBytes = nil
	}
	m := ch.apply(old)
	faults := m.unprintable()
	if ch.RootPassword != nil && strings.HasPrefix(*ch.RootPassword, "#") { // read back it would be a comment
		faults = append(faults, notAHash(text{file: RootPasswordFile}, 0))
	}
	changed = ch.files(old, m)
	want = maps.Clone(have)
	for file, data := range changed {
		if want[file] = data; len(data) == 0 {
			delete(want, file)
		}
	}
	after, more := want.parseAll(old.Name, func(file string) string { return file })
	_, address := changed[StaticIPFile]
	_, resolvers := changed[ResolvConfFile]
	if address || resolvers { // what is there already is its owner's affair
		if f := after.unresolved(); f != nil {
			more = append(more, f)
		}
	}
	return want, changed, append(wrong, problemsOf(append(faults, more...))...)
}

// files gives the new content of every file whose setting differs; empty
// content means that the file goes.
func (ch Changes) files(old, m Machine) content {
	before, after := old.print(), m.print()
	changed := content{}
	for _, s := range settings {
		if s.print != nil && !bytes.Equal(before[s.file], after[s.file]) {
			changed[s.file] = after[s.file]
		}
	}
	if ch.RootPassword != nil {
		changed[RootPasswordFile] = []byte(oneLine(*ch.RootPassword))
	}
	_, profiles := changed[ProfileFile]
	_, mode := changed[MutableFile]
	if profiles || mode {
		// The old profile list may hold the mode's word, which the new one does
		// not: from now on the file mutable says it.
		changed[ProfileFile], changed[MutableFile] = after[ProfileFile], after[MutableFile]
	}
	return changed
}

func (ch Changes) apply(m Machine) Machine {
	set(&m.Profiles, ch.Profiles)
	set(&m.Mode, ch.Mode)
	set(&m.Image, ch.Image)
	set(&m.Backend, ch.Backend)
	set(&m.MemoryMiB, ch.MemoryMiB)
	set(&m.VCPUs, ch.VCPUs)
	set(&m.DiskBytes, ch.DiskBytes)
	set(&m.Autostart, ch.Autostart)
	set(&m.Network, ch.Network)
	if ch.StaticIP != nil || ch.DHCP {
		m.StaticIP = ch.StaticIP
	}
	set(&m.ResolvConf, ch.ResolvConf)
	set(&m.Hosts, ch.Hosts)
	set(&m.AdminKeys, ch.AdminKeys)
	set(&m.UserKeys, ch.UserKeys)
	set(&m.TCPPorts, ch.TCPPorts)
	set(&m.UDPPorts, ch.UDPPorts)
	set(&m.AllowedCIDRs, ch.AllowedCIDRs)
	set(&m.RemoteForwards, ch.RemoteForwards)
	set(&m.UnreadForwards, ch.UnreadForwards)
	set(&m.AgentTOML, ch.AgentTOML)
	set(&m.VMID, ch.VMID)
	set(&m.PCIDevices, ch.PCIDevices)
	return m
}

func set[T any](field *T, to *T) {
	if to != nil {
		*field = *to
	}
}

func (s *Store) replace(name string, have, changed content) error {
	for _, file := range slices.Sorted(maps.Keys(changed)) {
		path, data := filepath.Join(s.Dir(name), file), changed[file]
		_, there := have[file]
		if len(data) == 0 && !there {
			continue
		}
		s.at("write %s", file)
		var err error
		if len(data) == 0 {
			err = atomicfile.Remove(path)
		} else {
			err = atomicfile.Write(path, data, fileMode(file))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}
