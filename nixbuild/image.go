// Package nixbuild makes and keeps images: the boot disks that machines share.
//
// An image is a directory named by its id, a digest of everything that it was
// built from, holding image.json (type Image), the disk and, for direct boot, a
// kernel and an initrd. The Store lists, builds (through a Builder for each
// kind), imports, verifies and removes them. A directory appears in the store by
// one rename, complete and synced, so every image that List shows can be booted.
//
// Package trial builds the Debian guest; package contract checks a running VM
// against the guest contract, whichever image it runs.
package nixbuild

import (
	"time"

	"github.com/nixvm/nixvm/api"
)

// The guest contract (docs/guest-contract.md).
const (
	// ContractVersion is the newest version, which the images that we build obey.
	ContractVersion = 2
	// OldestContract is the oldest version of images that can still be used, and the
	// one of images that do not say which they obey.
	OldestContract = 1
	// LiveIdentityContract is the version from which on a running guest takes a new
	// generation of its identity.
	LiveIdentityContract = 2
)

// Image is image.json: what the guest's boot disk is and how to boot it.
type Image struct {
	Contract int       `json:"contract"`
	ID       string    `json:"id"`     // digest of the inputs; the directory's name
	Distro   string    `json:"distro"` // "nixos" or "debian"
	Mode     string    `json:"mode"`   // "immutable", "semi-mutable", "mutable"
	Profiles []string  `json:"profiles"`
	System   string    `json:"system"` // e.g. "x86_64-linux"
	Disk     Disk      `json:"disk"`
	Kernel   string    `json:"kernel,omitempty"` // file beside image.json; empty = UEFI only
	Initrd   string    `json:"initrd,omitempty"`
	Cmdline  string    `json:"cmdline,omitempty"`
	Version  string    `json:"version"`
	Built    time.Time `json:"built"`
	Source   string    `json:"source"` // what it was built from, for people

	// NoBootLoader says that the disk cannot boot by UEFI: only the kernel beside it.
	NoBootLoader bool `json:"noBootLoader,omitempty"`

	// StorePath is the directory of the files where they lie in the Nix store
	// instead of beside image.json.
	StorePath string `json:"storePath,omitempty"`

	Dir string `json:"-"` // where image.json lies; set on reading
}

// Disk describes the boot disk file.
type Disk struct {
	File        string `json:"file"`        // beside image.json
	Format      string `json:"format"`      // "qcow2" or "raw"
	VirtualSize int64  `json:"virtualSize"` // bytes
	SHA256      string `json:"sha256"`      // of the file, hex
}

// Profile is one composable mixin.
type Profile = api.Profile

// Request says which image is wanted.
type Request struct {
	Kind     string // "nixos" or "trial"
	Mode     string
	Profiles []string
}
