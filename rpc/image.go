package rpc

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

// Profile is one composable mixin.
type Profile struct {
	// Name of the profile.
	Name string `json:"name"`
	// Description for people, one line.
	Description string `json:"description"`
	// Requires these profiles too.
	Requires []string `json:"requires"`
	// Conflicts with these.
	Conflicts []string `json:"conflicts,omitempty"`
	// Agent: an agent profile; private networks are blocked outbound.
	Agent bool `json:"agent"`
	// Images are the kinds of image that have it: "nixos", "trial".
	Images []string `json:"images"`
}

// ProfileListResult is the profiles that can be asked for.
type ProfileListResult struct {
	// Profiles ordered by name, core first. Those that a user has added to the
	// flake are among them.
	Profiles []Profile `json:"profiles"`
}

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
	// DirectBoot: kernel and initrd are beside the disk; otherwise UEFI.
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

// Validate implements params.
func (p ImageBuildParams) Validate() error {
	return firstError(firstOf(p.fields()), p.Work.Validate())
}

// fields checks the form of each.
func (p ImageBuildParams) fields() []fieldCheck {
	return []fieldCheck{{"image", checkLine("image", p.Image)}, {"profiles", checkWords("profiles", p.Profiles)}, {"mode", checkLine("mode", p.Mode)}}
}

func (p ImageBuildParams) request(client string) vm.BuildRequest {
	return vm.BuildRequest{Image: p.Image, Profiles: p.Profiles, Mode: p.Mode, Client: client}
}

// ImageGCParams asks for the removal of images that nothing needs.
type ImageGCParams struct {
	Tokens
	// All removes also those that would be built again as they are.
	All bool `json:"all,omitempty"`
	// DryRun removes nothing and says what would become of each.
	DryRun bool `json:"dryRun,omitempty"`
}

// Validate implements params.
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

func imageMethods() []Method {
	return []Method{
		instant(MethodProfileList, "The profiles that can be asked for.", listProfiles, result[ProfileListResult]()),
		slow(MethodImageList, "The images in the store, and the machines that need them.", listImages, result[ImageListResult](problem.ImageCorrupt)),
		operation(MethodImageBuild, "Make sure that an image is in the store, and build it if it is not. Requests for the same image share one build. "+
			"What nix has built when it is cancelled serves the next build.",
			func(ctx context.Context, s *session, p ImageBuildParams) (api.Operation, error) {
				return s.srv.core.BuildImage(ctx, p.request(s.who()))
			}, problem.ProfileUnknown, problem.ProfileConflict, problem.ModeUnsupported, problem.ImageUnsupported, problem.ImageBuildFailed,
			problem.BackendMissing, problem.DiskFull),
		change(MethodImageGC, "Remove the images that no machine needs: those of an earlier flake or recipe, imported and broken ones; "+
			"and the copies on other hosts that no VM there needs. Never one that a VM is made from.", collectImages, result[ImageGCResult]()),
	}
}

func listProfiles(s *session, _ NoParams) (any, error) {
	list := s.srv.core.Profiles()
	out := ProfileListResult{Profiles: make([]Profile, 0, len(list))}
	for _, p := range list {
		out.Profiles = append(out.Profiles, Profile{
			Name: p.Name, Description: p.Description, Requires: notNil(p.Requires), Conflicts: p.Conflicts, Agent: p.Agent, Images: notNil(p.Images),
		})
	}
	return out, nil
}

func listImages(_ context.Context, s *session, _ NoParams) (any, error) {
	list, err := s.srv.core.Images()
	out := ImageListResult{Images: make([]Image, 0, len(list))}
	for _, i := range list {
		out.Images = append(out.Images, Image{
			ID: i.ID, Distro: i.Distro, Mode: i.Mode, Profiles: notNil(i.Profiles), System: i.System,
			VirtualSizeBytes: i.Disk.VirtualSize, Version: i.Version, Built: wireTime(i.Built), Source: i.Source,
			DirectBoot: i.Kernel != "", Bytes: i.Bytes, Machines: notNil(i.Machines), StorePath: i.StorePath,
		})
	}
	return out, err
}

func collectImages(ctx context.Context, s *session, p ImageGCParams) (any, error) {
	c, err := s.srv.core.CollectImages(ctx, p.All, p.DryRun)
	out := ImageGCResult{Images: make([]CollectedImage, 0, len(c.Images)), Warnings: plainLines(c.Warnings)}
	for _, i := range c.Images {
		out.Images = append(out.Images, CollectedImage{ID: i.ID, Backend: i.Backend, Bytes: i.Bytes, Kept: plainLine(i.Kept), Note: i.Note})
	}
	return out, err
}
