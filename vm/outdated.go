package vm

import (
	"time"
)

// followLatest finds out which images are the latest, at each kick.
func (s *Service) followLatest() {
	for {
		select {
		case <-s.latest.kick:
			s.findLatest()
		case <-s.ctx.Done():
			return
		}
	}
}

// findLatest asks what images the machines would get now, and tells of those that have
// become outdated, or are not any more.
func (s *Service) findLatest() {
	entries := s.inventory.List()
	ids := map[string]string{}
	for _, e := range entries {
		key := imageKey(e)
		if _, asked := ids[key]; asked || key == "" {
			continue
		}
		id, err := s.images.CheckRequest(imageRequest(e.Machine.Image, e.Machine.Mode, e.Machine.Profiles))
		if err != nil { // it cannot be built now: whether it is outdated is not known
			id = ""
		}
		ids[key] = id
	}
	before := map[string]bool{}
	for _, e := range entries {
		before[e.Name] = s.latest.isOutdated(e)
	}
	s.latest.mu.Lock()
	s.latest.ids, s.latest.checked = ids, time.Now()
	s.latest.mu.Unlock()
	for _, e := range entries {
		if s.latest.isOutdated(e) != before[e.Name] {
			s.publishVM(e.Name)
		}
	}
}
