package pvesim

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is what a simulated cluster consists of. The zero value is one node
// with the two storages of the recording and one token with the privileges that
// nixvm needs.
type Config struct {
	// Listen is where it listens; by default a free port of the loopback.
	Listen string
	// Version is the release that it pretends to be; by default [DefaultVersion].
	// From it follow privileges, parameters and abilities.
	Version string
	// Nodes are their names; by default pve1.
	Nodes []string
	// Storages are those of the cluster; by default [DefaultStorages].
	Storages []Storage
	// Bridges of every node; by default vmbr0.
	Bridges []string
	// PCI are the devices of the resource mappings, by name of the mapping.
	PCI map[string]string
	// Tokens that exist from the beginning; by default one, [DefaultToken].
	Tokens []Token
	// ACL holds from the beginning; by default [DefaultACL] for every token.
	ACL []ACL
	// Delay scales the waiting times of a real server: 1 for those that were
	// recorded (3 s after a failed login, 3 s for an absent guest agent), 0 for none.
	Delay float64
	// LockTimeout is how long a task waits for the lock of a VM; 10 s by default,
	// as on a real server.
	LockTimeout time.Duration
	// Machines makes what runs inside a started VM; by default [Memory].
	Machines Machines
	// Agent tells what the guest agent of a started VM reports; nil for one
	// interface for each net of the VM, with an address of [DefaultSubnet].
	Agent func(VM) Agent
	// Dir is for uploaded files; Start uses a directory of the test.
	Dir string
}

// DefaultVersion is the release of the recording.
const DefaultVersion = "9.2.11"

// DefaultSubnet is where the addresses of simulated guests come from: the
// address block for documentation (RFC 5737), which leads nowhere.
var DefaultSubnet = netip.MustParsePrefix("198.51.100.0/24")

// A Storage is an entry of storage.cfg.
type Storage struct {
	Name string
	// Type is dir, nfs, lvm, lvmthin, zfspool or pbs.
	Type    string
	Content []string
	// Shared storages have the same volumes on every node.
	Shared bool
	// Nodes that have it; empty for all.
	Nodes []string
	// Size in bytes; 256 GiB by default.
	Size int64
}

// DefaultStorages are those of the recording: `local` for uploads, `thin` for
// disks, both directories.
func DefaultStorages() []Storage {
	return []Storage{
		{Name: "local", Type: "dir", Content: []string{"import", "iso", "images", "backup", "snippets", "vztmpl"}},
		{Name: "thin", Type: "dir", Content: []string{"images", "rootdir"}},
	}
}

// A Token is an API token of a user.
type Token struct {
	// ID is user@realm!name.
	ID     string
	Secret string
	// Separated tokens (privsep) have only the privileges that both the user and
	// the token itself have.
	Separated bool
}

// DefaultToken is the one of the recording, with a secret in the right shape.
func DefaultToken() Token {
	return Token{ID: "nixvmd@pve!t1", Secret: "00000000-0000-4000-8000-000000000000", Separated: true}
}

// An ACL grants privileges.
type ACL struct {
	Path string
	// Who is a user, or a token.
	Who string
	// Role is the name that `access/acl` shows, and Privileges what it holds.
	Role       string
	Privileges []string
	// Here only, not for the paths below.
	NoPropagate bool
}

// DefaultACL grants to a token, and to its user, the privileges of the recording
// on the paths of the recording.
func DefaultACL(version, token string, storages []Storage) []ACL {
	user, _, _ := strings.Cut(token, "!")
	privileges := []string{
		"VM.Allocate", "VM.Audit", "VM.Clone", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory",
		"VM.Config.Network", "VM.Config.Options", "VM.PowerMgmt", "VM.Snapshot", "VM.Snapshot.Rollback", "VM.Console", "VM.Backup", "VM.Migrate",
		"Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit", "SDN.Use", "Pool.Audit",
	}
	if atLeast(version, 9, 0) {
		privileges = append(privileges, "VM.GuestAgent.Audit", "VM.GuestAgent.FileRead", "VM.GuestAgent.FileWrite", "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.Unrestricted")
	} else {
		privileges = append(privileges, "VM.Monitor")
	}
	paths := []string{"/vms", "/sdn/zones/localnetwork"}
	for _, storage := range storages {
		paths = append(paths, "/storage/"+storage.Name)
	}
	var acl []ACL
	for _, path := range paths {
		for _, who := range slices.Compact([]string{user, token}) {
			acl = append(acl, ACL{Path: path, Who: who, Role: "NixVMD", Privileges: privileges})
		}
	}
	return acl
}

// complete fills in the defaults, and says what is wrong.
func (c Config) complete() (Config, error) {
	if c.Version == "" {
		c.Version = DefaultVersion
	}
	if !atLeast(c.Version, 8, 3) {
		return c, fmt.Errorf("version %q: the simulator knows Proxmox VE 8.3 and later", c.Version)
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if len(c.Nodes) == 0 {
		c.Nodes = []string{"pve1"}
	}
	if c.Storages == nil {
		c.Storages = DefaultStorages()
	}
	if c.Bridges == nil {
		c.Bridges = []string{"vmbr0"}
	}
	if c.Tokens == nil {
		c.Tokens = []Token{DefaultToken()}
	}
	if c.ACL == nil {
		for _, token := range c.Tokens {
			c.ACL = append(c.ACL, DefaultACL(c.Version, token.ID, c.Storages)...)
		}
	}
	if c.LockTimeout == 0 {
		c.LockTimeout = 10 * time.Second
	}
	if c.Machines == nil {
		c.Machines = Memory{}
	}
	if c.Dir == "" {
		return c, fmt.Errorf("the simulator needs a directory for uploads")
	}
	return c, c.checkStorages()
}

func (c Config) checkStorages() error {
	for _, storage := range c.Storages {
		if _, known := storageTypes[storage.Type]; !known {
			return fmt.Errorf("storage %q: the simulator has no type %q", storage.Name, storage.Type)
		}
		for _, node := range storage.Nodes {
			if !slices.Contains(c.Nodes, node) {
				return fmt.Errorf("storage %q: there is no node %q", storage.Name, node)
			}
		}
	}
	return nil
}

// allocation is how long making a volume takes: recorded parallel creates wait for
// each other's.
func (c Config) allocation() time.Duration { return 200 * time.Millisecond }

// atLeast compares the first two numbers of a version.
func atLeast(version string, major, minor int) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	have, err := strconv.Atoi(first)
	if err != nil {
		return false
	}
	if have != major {
		return have > major
	}
	point, _ := strconv.Atoi(second)
	return point >= minor
}
