package vm

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/nixbuild"
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
	if !p.Same {
		p.Packages, p.NotCompared = s.comparePackages(was.ID, args.ID, p)
	}
	return p, nil
}

// comparePackages lists the packages of an image that are others in the next one, or
// says why they cannot be compared.
func (s *Service) comparePackages(was, next string, p api.UpgradePreview) (changes []api.PackageChange, why string) {
	switch {
	case next == "":
		return nil, "the image has not been imported"
	case !p.Built:
		return nil, "the next image has not been built; nixvmd build builds it without an upgrade"
	}
	before, err := s.packagesOf(was)
	if err != nil {
		return nil, "the current image: " + err.Error()
	}
	after, err := s.packagesOf(next)
	if err != nil {
		return nil, "the next image: " + err.Error()
	}
	for _, c := range before.Compare(after) {
		changes = append(changes, api.PackageChange{Name: c.Name, Before: c.Before, After: c.After})
	}
	return changes, ""
}

func (s *Service) packagesOf(id string) (nixbuild.Packages, error) {
	img, err := s.images.Get(id)
	if err != nil {
		return nil, err
	}
	list, err := img.Packages()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("it has no list of packages: it was imported, or built by an earlier version of nixvm")
	}
	return list, err
}

// missingFrom are the words of a list that another one does not have.
func missingFrom(other, list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(word string) bool { return slices.Contains(other, word) })
}
