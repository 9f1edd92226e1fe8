package rpc

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

// Profile is one composable mixin.
type Profile struct {
	// Name of the profile.
	Name string `json:"name"`
	// Description for people, one line.
	Description string `json:"description"`
	// Requires these profiles too.
	Requires []string `json:"requires"`
	// Agent: an agent profile; private networks are blocked outbound.
	Agent bool `json:"agent"`
	// Images are the kinds of image that have it: "nixos", "trial".
	Images []string `json:"images"`
}

// ProfileListResult is the profiles that can be asked for.
type ProfileListResult struct {
	// Profiles ordered by name.
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
}

// ImageListResult is the images in the store.
type ImageListResult struct {
	// Images in the store.
	Images []Image `json:"images"`
}

func imageMethods() []Method {
	return []Method{
		instant(MethodProfileList, "The profiles that can be asked for.",
			func(s *session, _ NoParams) (any, error) {
				list := s.srv.core.Profiles()
				out := ProfileListResult{Profiles: make([]Profile, 0, len(list))}
				for _, p := range list {
					out.Profiles = append(out.Profiles, Profile{
						Name: p.Name, Description: p.Description, Requires: notNil(p.Requires), Agent: p.Agent, Images: notNil(p.Images),
					})
				}
				return out, nil
			}, result[ProfileListResult]()),
		slow(MethodImageList, "The images in the store.",
			func(_ context.Context, s *session, _ NoParams) (any, error) {
				list, err := s.srv.core.Images()
				out := ImageListResult{Images: make([]Image, 0, len(list))}
				for _, i := range list {
					out.Images = append(out.Images, Image{
						ID: i.ID, Distro: i.Distro, Mode: i.Mode, Profiles: notNil(i.Profiles), System: i.System,
						VirtualSizeBytes: i.Disk.VirtualSize, Version: i.Version, Built: wireTime(i.Built), Source: i.Source,
						DirectBoot: i.Kernel != "",
					})
				}
				return out, err
			}, result[ImageListResult](problem.ImageCorrupt)),
	}
}
