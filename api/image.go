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
	// DirectBoot: the image includes a kernel that a backend can boot directly; otherwise UEFI.
	DirectBoot bool `json:"directBoot"`
	// Bytes that it occupies on the disk.
	Bytes int64 `json:"bytes"`
	// Machines whose VMs use it.
	Machines []string `json:"machines"`
	// StorePath is the directory of its files, if they are in the Nix store.
	StorePath string `json:"storePath,omitempty"`
}

// ImageListResult is the images in the store.
type ImageListResult struct {
	// Images in the store.
	Images []Image `json:"images"`
}

// ImageBuildParams requests an image without a machine. Absent fields default to
// config.toml.
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
	return []FieldCheck{{"image", checkLine("image", p.Image)}, {"profiles", checkProfiles(p.Profiles)}, {"mode", checkLine("mode", p.Mode)}}
}

// ImageGCParams requests the removal of unused images.
type ImageGCParams struct {
	Tokens
	// All also removes up-to-date images, which would be built again.
	All bool `json:"all,omitempty"`
	// Disks also removes the disks and snapshots that recreate has set aside.
	Disks bool `json:"disks,omitempty"`
	// DryRun removes nothing and reports what would be removed.
	DryRun bool `json:"dryRun,omitempty"`
}

// Validate implements Params.
func (p ImageGCParams) Validate() error { return nil }

// CollectedImage is one image, and whether it was removed.
type CollectedImage struct {
	// ID of the image.
	ID string `json:"id"`
	// Backend whose host had this copy; absent for an image in the store.
	Backend string `json:"backend,omitempty"`
	// Bytes that it occupies, or occupied, on the disk.
	Bytes int64 `json:"bytes"`
	// Kept says why it was kept; absent if it was removed.
	Kept string `json:"kept,omitempty"`
	// Note is additional information about a removed image.
	Note string `json:"note,omitempty"`
}

// CollectedDisks reports what became of the disks and snapshots that a VM had before it
// was recreated.
type CollectedDisks struct {
	// Machine whose VM had them.
	Machine string `json:"machine"`
	// Backend that keeps them.
	Backend string `json:"backend"`
	// Since is when they were set aside.
	Since time.Time `json:"since"`
	// Bytes that they take, or took, on the disk.
	Bytes int64 `json:"bytes"`
	// Place of the files, on the host of the daemon; absent elsewhere.
	Place string `json:"place,omitempty"`
	// Kept is why they stay; absent if they were removed.
	Kept string `json:"kept,omitempty"`
}

// ImageGCResult lists the images that were kept and removed.
type ImageGCResult struct {
	// Images that existed.
	Images []CollectedImage `json:"images"`
	// Disks that recreate has set aside, if requested.
	Disks []CollectedDisks `json:"disks,omitempty"`
	// Warnings about backends whose hosts could not be searched for copies.
	Warnings []string `json:"warnings,omitempty"`
}
