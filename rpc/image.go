package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

func buildRequest(p api.ImageBuildParams, client string) vm.BuildRequest {
	return vm.BuildRequest{Image: p.Image, Profiles: p.Profiles, Mode: p.Mode, Client: client}
}

func imageMethods() []Method {
	return []Method{
		instant(api.MethodProfileList, "The profiles that can be asked for.", listProfiles, result[api.ProfileListResult]()),
		slow(api.MethodImageList, "The images in the store, and the machines that need them.", listImages, result[api.ImageListResult](problem.ImageCorrupt)),
		operation(api.MethodImageBuild, "Make sure that an image is in the store, and build it if it is not. Requests for the same image share one build. "+
			"What nix has built when it is cancelled serves the next build.",
			func(ctx context.Context, s *session, p api.ImageBuildParams) (api.Operation, error) {
				return s.srv.core.BuildImage(ctx, buildRequest(p, s.who()))
			}, problem.ProfileUnknown, problem.ProfileConflict, problem.ModeUnsupported, problem.ImageUnsupported, problem.ImageBuildFailed,
			problem.BackendMissing, problem.DiskFull),
		change(api.MethodImageGC, "Remove the images that no machine needs: those of an earlier flake or recipe, imported and broken ones; "+
			"and the copies on other hosts that no VM there needs. Never one that a VM is made from.", collectImages, result[api.ImageGCResult]()),
	}
}

func listProfiles(s *session, _ api.NoParams) (any, error) {
	list := s.srv.core.Profiles()
	out := api.ProfileListResult{Profiles: make([]api.Profile, 0, len(list))}
	for _, p := range list {
		out.Profiles = append(out.Profiles, api.Profile{
			Name: p.Name, Description: p.Description, Requires: notNil(p.Requires), Conflicts: p.Conflicts, Agent: p.Agent, Images: notNil(p.Images),
		})
	}
	return out, nil
}

func listImages(_ context.Context, s *session, _ api.NoParams) (any, error) {
	list, err := s.srv.core.Images()
	out := api.ImageListResult{Images: make([]api.Image, 0, len(list))}
	for _, i := range list {
		out.Images = append(out.Images, api.Image{
			ID: i.ID, Distro: i.Distro, Mode: i.Mode, Profiles: notNil(i.Profiles), System: i.System,
			VirtualSizeBytes: i.Disk.VirtualSize, Version: i.Version, Built: wireTime(i.Built), Source: i.Source,
			DirectBoot: i.Kernel != "", Bytes: i.Bytes, Machines: notNil(i.Machines), StorePath: i.StorePath,
		})
	}
	return out, err
}

func collectImages(ctx context.Context, s *session, p api.ImageGCParams) (any, error) {
	c, err := s.srv.core.CollectImages(ctx, p.All, p.DryRun)
	out := api.ImageGCResult{Images: make([]api.CollectedImage, 0, len(c.Images)), Warnings: plainLines(c.Warnings)}
	for _, i := range c.Images {
		out.Images = append(out.Images, api.CollectedImage{ID: i.ID, Backend: i.Backend, Bytes: i.Bytes, Kept: plainLine(i.Kept), Note: i.Note})
	}
	return out, err
}
