package vm

import (
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/damaged"
)

// keptNotices is how many notices are remembered for clients that come later.
const keptNotices = 100

// notify tells all watchers, and those who come later, what was done unasked.
func (s *Service) notify(text string) {
	s.log.Warn("something was repaired", "notice", text)
	s.publishing.Lock()
	defer s.publishing.Unlock()
	n := api.Notice{ID: ulid.Make().String(), Text: text}
	s.mu.Lock()
	s.notices = append(s.notices, n)
	if more := len(s.notices) - keptNotices; more > 0 {
		s.notices = slices.Delete(s.notices, 0, more)
	}
	s.mu.Unlock()
	s.tell(Change{Notice: &n})
}

// Notices returns what was done unasked since the start, oldest first.
func (s *Service) Notices() []api.Notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.notices)
}

// doctorDamaged names the damaged files that were kept.
func (s *Service) doctorDamaged() []api.Finding {
	l := s.layout
	dirs := []string{l.Records(), l.Journal(), l.SSH(), l.Machines(), l.Images(), l.State}
	for _, b := range s.backends {
		if host, ok := backends.As[backends.FileHost](b); ok {
			dirs = appendNew(dirs, host.Directory(backends.Ref{}))
		}
	}
	var list []api.Finding
	for _, path := range damaged.Find(dirs...) {
		list = append(list, api.Finding{
			Area: "files", Code: "file.damaged", Severity: backends.Info,
			Message: fmt.Sprintf("a damaged file was replaced and is kept as %s; as much as possible of its content was recreated", path),
			Fix:     "check whether its content is needed, then remove it: rm " + path,
		})
	}
	return list
}
