package api

import (
	"cmp"
	"time"
)

// Image is one image in the store.
type Image struct {
	// ID is the digest of its inputs.
	ID string `json:"id"`
	// Distro is "nixos" or "debian".
	Distro string `json:"distro"`
	// Mode is "immutable", "semi-mutable" or "mutable".
	Mode string `json:"mode"`
	// Profiles in it.
	Profiles []string `json:"profiles"`
	// System, e.g. "x86_64-linux".
	System string `json:"system"`
	// VirtualSizeBytes of the boot disk.
	VirtualSizeBytes int64 `json:"virtualSizeBytes"`
	// Version of the image.
	Version string `json:"version"`
	// Built is when.
	Built time.Time `json:"built,omitzero"`
	// Source it was built from, for people.
	Source string `json:"source,omitempty"`
	// DirectBoot: a kernel is beside the disk, which a backend can boot directly; otherwise UEFI.
	DirectBoot bool `json:"directBoot"`
	// Bytes that it takes on the disk.
	Bytes int64 `json:"bytes"`
	// Machines whose VMs are made from it.
	Machines []string `json:"machines"`
	// StorePath is where its files are, if they are in the Nix store.
	StorePath string `json:"storePath,omitempty"`
}

// ImageListResult is the images in the store.
type ImageListResult struct {
	// Images in the store.
	Images []Image `json:"images"`
}

// ImageBuildParams asks for an image without a machine. Absent fields take the
// defaults of config.toml.
type ImageBuildParams struct {
	Work
	// Image is the kind: "nixos" or "trial".
	Image string `json:"image,omitempty"`
	// Profiles of the image.
	Profiles []string `json:"profiles,omitempty"`
	// Mode is "immutable", "semi-mutable" or "mutable".
	Mode string `json:"mode,omitempty"`
}

// Validate implements Params.
func (p ImageBuildParams) Validate() error {
	return cmp.Or(firstOf(p.Fields()), p.Work.Validate())
}

// Fields checks the form of each.
func (p ImageBuildParams) Fields() []FieldCheck {
	return []FieldCheck{{"image", checkLine("image", p.Image)}, {"profiles", checkWords("profiles", p.Profiles)}, {"mode", checkLine("mode", p.Mode)}}
}

// ImageGCParams asks for the removal of images that nothing needs.
type ImageGCParams struct {
	Tokens
	// All removes also those that would be built again as they are.
	All bool `json:"all,omitempty"`
	// DryRun removes nothing and says what would become of each.
	DryRun bool `json:"dryRun,omitempty"`
}

// Validate implements Params.
func (p ImageGCParams) Validate() error { return nil }

// CollectedImage is what became of one image.
type CollectedImage struct {
	// ID of the image.
	ID string `json:"id"`
	// Backend on whose host this copy was; absent for an image of the store.
	Backend string `json:"backend,omitempty"`
	// Bytes that it takes, or took, on the disk.
	Bytes int64 `json:"bytes"`
	// Kept says why it stays; absent when it was removed.
	Kept string `json:"kept,omitempty"`
	// Note is what there is to know of a removed one.
	Note string `json:"note,omitempty"`
}

// ImageGCResult is what became of each image.
type ImageGCResult struct {
	// Images that were there.
	Images []CollectedImage `json:"images"`
	// Warnings about backends whose host could not be asked for copies.
	Warnings []string `json:"warnings,omitempty"`
}
