package api

import (
	"cmp"

	"github.com/nixvm/nixvm/internal/problem"
)

// AdoptListParams names a directory of nixos-vm-template.
type AdoptListParams struct {
	Tokens
	// Directory is the absolute path of a checkout, or of the configuration directory.
	Directory string `json:"directory"`
}

// Validate implements Params.
func (p AdoptListParams) Validate() error {
	return cmp.Or(checkRequired("directory", p.Directory), checkPath("directory", p.Directory))
}

// AdoptListResult is what there is to take over. Nothing is changed.
type AdoptListResult struct {
	// Directory that was read.
	Directory string `json:"directory"`
	// Machines by id.
	Machines []Adoptable `json:"machines"`
	// Config is what the checkout's .env file means as part of config.toml, for people
	// to copy; absent if it has no such settings.
	Config string `json:"config,omitempty"`
}

// Adoptable is a machine of nixos-vm-template. Its words come from its directory.
type Adoptable struct {
	// ID names it in nixvm/adopt/take: its name, or backend/host/name.
	ID string `json:"id"`
	// Name of the machine.
	Name string `json:"name"`
	// Directory of the machine.
	Directory string `json:"directory"`
	// Profiles without core; absent if the machine cannot be read.
	Profiles []string `json:"profiles,omitempty"`
	// Mode: immutable, semi-mutable or mutable.
	Mode string `json:"mode,omitempty"`
	// Disk is the file of its state disk; absent if there is none on this computer.
	Disk string `json:"disk,omitempty"`
	// DiskBytes is the virtual size of that.
	DiskBytes int64 `json:"diskBytes,omitempty"`
	// Snapshots in the disk, which stay there.
	Snapshots int `json:"snapshots,omitempty"`
	// Adopted: there is a machine of that name with the same UUID.
	Adopted bool `json:"adopted,omitempty"`
	// Problem that prevents it from being taken over, such as vm.running.
	Problem *problem.Error `json:"problem,omitempty"`
}

// AdoptParams asks for a machine of nixos-vm-template to be taken over: its settings and
// its identity, and a copy of its disk.
type AdoptParams struct {
	Work
	// Directory is that of AdoptListParams.
	Directory string `json:"directory"`
	// ID of the machine there, or a name that only one has.
	ID string `json:"id"`
	// Name of the new machine; absent = as there. Under another name it gets an
	// identity of its own.
	Name string `json:"name,omitempty"`
	// Backend for the VM; absent = the default.
	Backend string `json:"backend,omitempty"`
	// Image is the kind of image, a file or a URL; absent = nixos.
	Image string `json:"image,omitempty"`
	// NoStart creates the VM without booting it.
	NoStart bool `json:"noStart,omitempty"`
}

// Validate implements Params.
func (p AdoptParams) Validate() error {
	err := cmp.Or(
		checkRequired("directory", p.Directory), checkPath("directory", p.Directory), checkRequired("id", p.ID), checkText("id", p.ID, 1024), checkLine("id", p.ID),
		checkLine("backend", p.Backend), checkText("image", p.Image, 4096), checkLine("image", p.Image), p.Work.Validate(),
	)
	if err == nil && p.Name != "" {
		err = checkName(p.Name)
	}
	return err
}
