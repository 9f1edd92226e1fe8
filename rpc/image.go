package rpc

import (
	"context"
	"slices"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func imageMethods() []Method {
	return []Method{
		instant(api.MethodProfileList, "The available profiles.", listProfiles, result[api.ProfileListResult]()),
		slow(api.MethodImageList, "The images in the store, and the machines that use them.", listImages, result[api.ImageListResult](problem.ImageCorrupt)),
		operation(api.MethodImageBuild, "Build an image, unless it is in the store. Requests for the same image share one build. "+
			"If cancelled, what nix has built so far is reused by the next build.",
			func(ctx context.Context, s *session, p api.ImageBuildParams) (api.Operation, error) {
				p.Client = s.who()
				return s.srv.core.BuildImage(ctx, p)
			}, problem.ProfileUnknown, problem.ProfileConflict, problem.ModeUnsupported, problem.ImageUnsupported, problem.ImageBuildFailed,
			problem.BackendMissing, problem.DiskFull),
		change(api.MethodImageGC, "Remove images that no machine uses: outdated ones (of an earlier flake or recipe), imported ones and broken ones; "+
			"and copies on other hosts that no VM there uses. The image of an existing VM is never removed. With disks, also remove the disks that recreate has set aside.", collectImages, result[api.ImageGCResult]()),
	}
}

func listProfiles(s *session, _ api.NoParams) (any, error) {
	list := slices.Clone(s.srv.core.Profiles())
	for i, p := range list {
		list[i].Requires, list[i].Images = notNil(p.Requires), notNil(p.Images)
	}
	return api.ProfileListResult{Profiles: notNil(list)}, nil
}

func listImages(_ context.Context, s *session, _ api.NoParams) (any, error) {
	list, err := s.srv.core.Images()
	for i := range list {
		list[i].Built = wireTime(list[i].Built)
	}
	return api.ImageListResult{Images: notNil(list)}, err
}

func collectImages(ctx context.Context, s *session, p api.ImageGCParams) (any, error) {
	result, err := s.srv.core.CollectImages(ctx, p)
	result.Warnings = plainLines(result.Warnings)
	for i, one := range result.Images {
		result.Images[i].Kept = plainLine(one.Kept)
	}
	return result, err
}
