package vm

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/operation"
)

// Profiles lists the profiles that can be asked for, with the images that have them.
func (s *Service) Profiles() []nixbuild.Profile { return s.images.Profiles() }

// Images lists the images in the store.
func (s *Service) Images() ([]api.Image, error) {
	list, broken := s.images.List()
	for _, err := range broken {
		s.log.Warn("image cannot be read", "error", err)
	}
	users, err := s.imageUsers()
	if err != nil {
		return nil, err
	}
	out := make([]api.Image, 0, len(list))
	for _, img := range list {
		out = append(out, api.Image{
			ID: img.ID, Distro: img.Distro, Mode: img.Mode, Profiles: append([]string{}, img.Profiles...), System: img.System,
			VirtualSizeBytes: img.Disk.VirtualSize, Version: img.Version, Built: img.Built, Source: img.Source,
			DirectBoot: img.Kernel != "", Bytes: s.images.Size(img.ID), Machines: append([]string{}, users(img.ID)...), StorePath: img.StorePath,
		})
	}
	return out, nil
}

// obtainImage builds or imports an image for an operation of a machine, unless the store
// has it; image gc leaves it there until the operation has ended.
func (s *Service) obtainImage(ctx context.Context, r *operation.Run, name, image string, mode machine.Mode, profiles []string) (img nixbuild.Image, err error) {
	for {
		if isFile(image) {
			img, err = s.images.Import(ctx, image, string(mode), r.Report)
		} else {
			img, err = s.images.Ensure(ctx, imageRequest(image, mode, profiles), r.Report)
		}
		if err != nil {
			return nixbuild.Image{}, err
		}
		there, err := s.take(ctx, name, img.ID)
		if err != nil {
			return nixbuild.Image{}, err
		}
		if there {
			s.warnOfNotes(r, img)
			return img, nil
		}
	}
}

// CollectImages removes images that no machine needs: those of earlier versions,
// imported and broken ones, and with All also those that would be built again as
// they are. With Disks, it removes what recreate has set aside. Then it removes the copies on the hosts of backends that no VM there
// needs; a host that cannot be asked is a warning. DryRun only says what would
// become of each.
func (s *Service) CollectImages(ctx context.Context, req api.ImageGCParams) (api.ImageGCResult, error) {
	dryRun := req.DryRun
	list, errs := s.images.Collect(ctx, nixbuild.Rules{All: req.All, DryRun: dryRun, Claim: s.claim})
	c := api.ImageGCResult{Images: []api.CollectedImage{}}
	kept := map[string]bool{}
	for _, one := range list {
		kept[one.ID] = one.Kept != ""
		c.Images = append(c.Images, one)
	}
	for _, name := range slices.Sorted(maps.Keys(s.backends)) {
		if host, ok := backends.As[backends.ImageHost](s.backends[name]); ok {
			copies, err := host.CollectImages(ctx, s.claimCopy(kept), dryRun)
			if err != nil {
				c.Warnings = append(c.Warnings, fmt.Sprintf("backend %s: %v", name, err))
			}
			for _, one := range copies {
				c.Images = append(c.Images, api.CollectedImage{ID: one.ID, Bytes: one.Bytes, Kept: one.Kept, Backend: name})
			}
		}
	}
	if req.Disks {
		s.collectShelved(ctx, &c, dryRun)
	}
	for _, one := range c.Images {
		if one.Kept == "" && !dryRun {
			s.log.Info("image removed", "image", one.ID, "backend", one.Backend, "bytes", one.Bytes)
		}
	}
	if len(errs) > 0 {
		return c, fmt.Errorf("collect images: %w", errs[0])
	}
	return c, nil
}

// claimCopy is claim for a copy on another host. The copy of an image that stays
// here stays as well: a machine would have it uploaded again.
func (s *Service) claimCopy(kept map[string]bool) func(id string) (string, func(), error) {
	return func(id string) (string, func(), error) {
		user, release, err := s.claim(id)
		switch {
		case err != nil:
			return "", nil, err
		case user != "":
			return "used by " + user, nil, nil
		case kept[id]:
			release()
			return "the image is kept here too; --all removes both", nil, nil
		}
		return "", release, nil
	}
}

// buildArgs is what build-image must remember from its beginning.
type buildArgs struct {
	Request  nixbuild.Request `json:"request"`
	Image    string           `json:"image"`    // the id
	Fallback bool             `json:"fallback"` // NixOS was not asked for by name and cannot be built here
}

// BuildImage makes sure that an image is in the store, and builds it if it is
// not. Requests for the same image, and machines that need it, share one build.
func (s *Service) BuildImage(ctx context.Context, req api.ImageBuildParams) (api.Operation, error) {
	op := api.Operation{Kind: api.KindBuildImage, Client: req.Client}
	return operation.Begin(ctx, s.engine, op, func(context.Context) (buildArgs, error) {
		args, wrong := s.judgeBuild(req)
		return args, wrong.first()
	})
}

// judgeBuild completes the request and finds everything that is wrong with it.
func (s *Service) judgeBuild(req api.ImageBuildParams) (args buildArgs, wrong *fieldErrors) {
	wrong = &fieldErrors{}
	def := s.config.Defaults
	override(&req.Image, "", def.Image)
	override(&req.Mode, "", def.Mode)
	if len(req.Profiles) == 0 {
		req.Profiles = def.Profiles
	}
	var kind string
	if kind, args.Fallback = s.chooseImage(req.Image); isFile(kind) {
		wrong.add(fieldImage, problem.New(problem.BadParams, "%s is already an image", kind).
			WithHint("name the kind to build: nixos or trial"))
	}
	mode, err := parseMode(req.Mode)
	wrong.add(fieldMode, err)
	args.Request = imageRequest(kind, mode, req.Profiles)
	args.Image = s.checkImage(args.Request, wrong)
	return args, wrong
}

func (s *Service) planBuildImage(_ string, args buildArgs) operation.Plan {
	// No step is taken back: what nix has built so far serves the next attempt.
	describe := func(o *api.Operation) { o.Image = args.Image }
	return operation.Plan{CancelUndoes: true, Describe: describe, Steps: []operation.Step{{Name: "image", Title: "building the image", Do: func(ctx context.Context, r *operation.Run) error {
		if args.Fallback {
			r.Warn(fallbackWarning)
		}
		img, err := s.images.Ensure(ctx, args.Request, r.Report)
		if err != nil {
			return err
		}
		r.Update(func(o *api.Operation) { o.Image = img.ID })
		s.warnOfNotes(r, img)
		return nil
	}}}}
}

// fallbackWarning is what the user reads where the trial guest stands in.
const fallbackWarning = "NixOS images cannot be built on this host (nixvmd doctor says why): this is the Debian trial guest"

// warnOfNotes passes on what the builders of images want the user to know.
func (s *Service) warnOfNotes(r *operation.Run, img nixbuild.Image) {
	if img.StorePath == "" {
		return
	}
	for _, note := range s.images.Notes() {
		r.Warn(note)
	}
}
