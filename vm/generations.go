package vm

import (
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/vm/inventory"
)

// Generations lists the images that a VM boots from, or can return to, by number.
func (s *Service) Generations(name string) ([]api.Generation, error) {
	e, _, err := s.placed(name)
	if err != nil {
		return nil, err
	}
	if e.Record == nil {
		return nil, notCreated(name)
	}
	now := e.Record.Generations()
	list := make([]api.Generation, 0, len(now.History))
	for _, g := range now.History {
		list = append(list, s.generationOf(g, now.Current))
	}
	return list, nil
}

func (s *Service) generationOf(g inventory.Generation, current int) api.Generation {
	out := api.Generation{
		Number: g.Number, Current: g.Number == current, Since: g.Since, Mode: g.Mode, Profiles: []string{},
		Image: api.ImageRef{Kind: g.Image.Kind, ID: g.Image.ID, Distro: g.Image.Distro, Version: g.Image.Version},
	}
	img, err := s.images.Get(g.Image.ID)
	if out.Missing = err != nil; err == nil {
		out.Mode = img.Mode
	}
	switch {
	case g.Image.Profiles != "":
		out.Profiles = strings.Split(g.Image.Profiles, ",")
	case err == nil:
		out.Profiles = append(out.Profiles, img.Profiles...)
	}
	return out
}
