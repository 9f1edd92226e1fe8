package api

import (
	"cmp"
	"time"
)

// UpgradeParams upgrades a VM to the current image for its profiles, mode and kind of image.
type UpgradeParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// Image to take instead of the machine's kind of image, as for nixvm/vm/create; the
	// machine keeps it as its setting.
	Image string `json:"image,omitempty"`
	// Confirm repeats the name; required of a semi-mutable machine, because what was
	// installed into its /nix is lost if the image has another Nix store.
	Confirm string `json:"confirm,omitempty"`
	// TimeoutSeconds that the guest may take to boot, and again for its services to start;
	// absent = the daemon's default.
	TimeoutSeconds *int `json:"timeoutSeconds,omitempty"`
	// AllowDegraded keeps an image although services fail that did not fail before.
	AllowDegraded bool `json:"allowDegraded,omitempty"`
}

// Validate implements Params.
func (p UpgradeParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkLine("image", p.Image), checkBootTimeout(p.TimeoutSeconds), p.Work.Validate())
}

// RollbackParams returns a VM to one of its generations.
type RollbackParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// Generation to return to; absent = the one before the current one.
	Generation *int `json:"generation,omitempty"`
	// Confirm, as for nixvm/vm/upgrade.
	Confirm string `json:"confirm,omitempty"`
	// TimeoutSeconds, as for nixvm/vm/upgrade.
	TimeoutSeconds *int `json:"timeoutSeconds,omitempty"`
	// AllowDegraded, as for nixvm/vm/upgrade.
	AllowDegraded bool `json:"allowDegraded,omitempty"`
}

// Validate implements Params.
func (p RollbackParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkPositive("generation", p.Generation), checkBootTimeout(p.TimeoutSeconds), p.Work.Validate())
}

// checkBootTimeout bounds how long a new image is waited for.
func checkBootTimeout(seconds *int) error {
	return cmp.Or(checkPositive("timeoutSeconds", seconds), checkAtMost("timeoutSeconds", seconds, 24*3600))
}

// Generation is an image that a VM has had, or has.
type Generation struct {
	// Number of the generation, from 1.
	Number int `json:"number"`
	// Current: the VM boots from it.
	Current bool `json:"current,omitempty"`
	// Image of the generation.
	Image ImageRef `json:"image"`
	// Profiles in the image.
	Profiles []string `json:"profiles"`
	// Mode of the image; absent where it is not known.
	Mode string `json:"mode,omitempty"`
	// Since is when the VM got the image.
	Since time.Time `json:"since"`
	// Missing: the image is not in the store any more, so the VM cannot return to it.
	Missing bool `json:"missing,omitempty"`
}

// GenerationListResult is the generations of a VM.
type GenerationListResult struct {
	// Generations ordered by number.
	Generations []Generation `json:"generations"`
}

// UpgradePreviewParams asks what an upgrade would do.
type UpgradePreviewParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
	// Image, as for nixvm/vm/upgrade.
	Image string `json:"image,omitempty"`
}

// Validate implements Params.
func (p UpgradePreviewParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkLine("image", p.Image))
}

// UpgradePreview is what an upgrade would do.
type UpgradePreview struct {
	// Current image of the VM.
	Current ImageRef `json:"current"`
	// Next image; without an id for a file, which has to be imported first.
	Next ImageRef `json:"next"`
	// Same: the VM has that image already.
	Same bool `json:"same,omitempty"`
	// Built: the next image is in the store, so nothing has to be built.
	Built bool `json:"built,omitempty"`
	// Restarts: the guest is shut down and booted.
	Restarts bool `json:"restarts,omitempty"`
	// LosesNix: what was installed into /nix is removed if the image has another Nix store;
	// the upgrade requires a confirmation.
	LosesNix bool `json:"losesNix,omitempty"`
	// Added are the profiles that the current image does not have.
	Added []string `json:"added"`
	// Removed are the profiles that the next image does not have.
	Removed []string `json:"removed"`
	// Packages that change, by name; absent where they are not compared, or none changes.
	Packages []PackageChange `json:"packages,omitempty"`
	// NotCompared says why the packages are not compared; absent where they are.
	NotCompared string `json:"notCompared,omitempty"`
}

// PackageChange is a package that has other versions in the next image.
type PackageChange struct {
	// Name of the package.
	Name string `json:"name"`
	// Before are the versions in the current image; absent: the package is new.
	Before []string `json:"before,omitempty"`
	// After are the versions in the next image; absent: the package is removed.
	After []string `json:"after,omitempty"`
}
