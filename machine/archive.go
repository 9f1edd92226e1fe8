package machine

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// secretFiles make a VM itself, or must stay secret. An archive has them
// only if that was asked for.
var secretFiles = []string{MachineIDFile, UUIDFile, MACFile, HostKeyFile, HostKeyPubFile, RootPasswordFile}

// boundFiles name things of one host.
var boundFiles = []string{VMIDFile, PCIDevicesFile}

// Archive returns the files of a machine for an archive, by name: those that nixvm
// knows, with the identity and the secrets only if identity is set, and without the
// authorized key own: it belongs to this nixvm, and would give it access wherever the
// archive is imported. The problems are those of Read.
func (s *Store) Archive(name string, identity bool, own string) (map[string][]byte, error) {
	if err := names.Machine(name); err != nil {
		return nil, err
	}
	_, c, err := s.read(name)
	if err != nil {
		return nil, asProblem(err, (*Fault).broken)
	}
	maps.DeleteFunc(c, func(file string, _ []byte) bool {
		return !identity && slices.Contains(secretFiles, file)
	})
	files, _ := WithoutKeys(c, func(key string) bool { return sameKey(key, own) })
	return files, nil
}

// Archived are the files of a machine in an archive.
type Archived struct {
	Machine string            // its name then
	Files   map[string][]byte // by name; those that nixvm does not know are left out
	// Foreign: the archive was made elsewhere, perhaps by another user. What names
	// things of a host is left out.
	Foreign bool
}

// Unarchive makes a machine from an archive, with the changes. It gets a new identity
// where the archive has none, and also under another name than it had. Whole, or not at
// all, as Create. The problems are machine.invalid for what is not valid in the archive,
// machine.exists for a name, or an identity, that another machine has, disk.full, and
// those of Update for ch.
func (s *Store) Unarchive(ctx context.Context, a Archived, name string, ch Changes) (Machine, error) {
	unlock, err := s.lock()
	if err != nil {
		return Machine{}, err
	}
	defer unlock()
	_, c, err := s.unarchived(a, name, ch)
	if err != nil {
		return Machine{}, err
	}
	return s.make(ctx, name, c)
}

// CheckUnarchive says what Unarchive would refuse, and returns the machine that it would
// make, but its identity. It makes nothing.
func (s *Store) CheckUnarchive(a Archived, name string, ch Changes) (Machine, error) {
	m, _, err := s.unarchived(a, name, ch)
	return m, err
}

// unarchived is the content of the new directory, and the machine that it means.
func (s *Store) unarchived(a Archived, name string, ch Changes) (Machine, content, error) {
	if err := names.NewMachine(name); err != nil {
		return Machine{}, nil, err
	}
	if s.Exists(name) {
		return Machine{}, nil, exists(name)
	}
	c := content{}
	for file, data := range a.Files {
		own := name != a.Machine && slices.Contains(ownFiles, file)
		bound := a.Foreign && slices.Contains(boundFiles, file)
		if known(file) && file != HostKeyPubFile && !own && !bound {
			c[file] = data
		}
	}
	m, err := c.parse(name, func(file string) string { return "the archive's file machine/" + file })
	if err != nil {
		return Machine{}, nil, asProblem(err, (*Fault).invalid)
	}
	if m.MAC != "" && s.macTaken()(m.MAC) {
		return Machine{}, nil, problem.New(problem.MachineExists, "another machine has the identity of %s, the MAC address %s", name, m.MAC).
			WithHint("restore it under another name: then it gets an identity of its own")
	}
	want, _, wrong := ch.lay(m, c)
	if len(wrong) > 0 {
		return Machine{}, nil, wrong[0].Err
	}
	m, err = want.parse(name, func(file string) string { return file })
	return m, want, err
}

// Grants lists the settings of an archive that reach beyond the new VM, for people to
// look at before it is made: each file, with its lines that mean something.
func (a Archived) Grants() []ArchivedSetting {
	var all []ArchivedSetting
	for _, file := range []string{
		ImageFile, BackendFile, NetworkFile, StaticIPFile, RemoteForwardsFile, AllowedCIDRsFile, AdminKeysFile, UserKeysFile,
		CACertFile, ResolvConfFile, HostsFile, AgentFile,
	} {
		lines, err := text{file, a.Files[file]}.lines()
		if err != nil { // it will be refused, with the reason
			continue
		}
		if content := strings.TrimSuffix(joinLines(lines), "\n"); content != "" {
			all = append(all, ArchivedSetting{file, content})
		}
	}
	return all
}

// ArchivedSetting is a file of an archive without blank lines and comments.
type ArchivedSetting struct{ File, Text string }
