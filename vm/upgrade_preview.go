package vm

import (
	"context"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/vm/inventory"
)

// PreviewUpgrade says what an upgrade would do now. It changes nothing, and refuses what
// the upgrade would refuse.
func (s *Service) PreviewUpgrade(ctx context.Context, req api.UpgradePreviewParams) (api.UpgradePreview, error) {
	args, m, err := s.judgeUpgrade(ctx, api.UpgradeParams{Name: req.Name, Image: req.Image})
	if err != nil {
		return api.UpgradePreview{}, err
	}
	was := args.Before.Image
	p := api.UpgradePreview{
		Current: api.ImageRef{Kind: was.Kind, ID: was.ID, Distro: was.Distro, Version: was.Version},
		Next:    api.ImageRef{Kind: args.Image, ID: args.ID},
		Same:    args.ID != "" && args.ID == was.ID, Added: []string{}, Removed: []string{},
	}
	if img, err := s.images.Get(args.ID); err == nil {
		p.Next.Distro, p.Next.Version, p.Built = img.Distro, img.Version, true
	}
	p.Restarts = args.WasRunning && !p.Same
	p.LosesNix = s.confirmOverlay(req.Name, m, args, "") != nil
	if was.Profiles != "" && !isFile(args.Image) {
		before, now := strings.Split(was.Profiles, ","), strings.Split(inventory.ProfileList(args.Profiles), ",")
		p.Added, p.Removed = missingFrom(before, now), missingFrom(now, before)
	}
	return p, nil
}

// missingFrom are the words of a list that another one does not have.
func missingFrom(other, list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(word string) bool { return slices.Contains(other, word) })
}
