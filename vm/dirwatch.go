package vm

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/nixvm/nixvm/internal/names"
)

// watchMachines makes edits by hand of machine directories visible without a
// restart: the files are meant to be edited with any editor.
func (s *Service) watchMachines() error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	root := s.layout.Machines()
	if err := w.Add(root); err != nil {
		_ = w.Close()
		return err
	}
	if err := s.watchAll(w, root); err != nil {
		_ = w.Close()
		return err
	}
	s.machineDirs = w
	s.background(func() { s.followEdits(w, root) })
	return nil
}

// watchAll watches the directories of all machines; those that are watched already stay.
func (s *Service) watchAll(w *fsnotify.Watcher, root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			s.watchDir(w, filepath.Join(root, e.Name()))
		}
	}
	return nil
}

func (s *Service) watchDir(w *fsnotify.Watcher, dir string) {
	if err := w.Add(dir); err != nil && !os.IsNotExist(err) {
		s.log.Warn("cannot watch a machine directory", "path", dir, "error", err)
	}
}

// reloadAll reads all machines again.
func (s *Service) reloadAll(w *fsnotify.Watcher, root string) {
	names := map[string]bool{}
	for _, e := range s.inventory.List() {
		names[e.Name] = true
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		s.log.Warn("cannot list the machines", "error", err)
	}
	for _, e := range entries {
		names[e.Name()] = true
	}
	for name := range names {
		s.edited(w, root, fsnotify.Event{Name: filepath.Join(root, name), Op: fsnotify.Create})
	}
}

func (s *Service) followEdits(w *fsnotify.Watcher, root string) {
	byHand := map[string]bool{}
	quiet := time.NewTimer(s.editQuiet)
	defer quiet.Stop()
	for {
		select {
		case ev, ok := <-w.Events:
			if !ok {
				return
			}
			if name := s.edited(w, root, ev); name != "" {
				byHand[name] = true
				quiet.Reset(s.editQuiet)
			}
		case <-s.wakeEdits:
			s.mu.Lock()
			maps.Copy(byHand, s.editedIn)
			clear(s.editedIn)
			s.mu.Unlock()
			quiet.Reset(s.editQuiet)
		case <-quiet.C:
			for name := range byHand {
				s.background(func() { s.takeEdited(s.ctx, name) })
			}
			clear(byHand)
		case err, ok := <-w.Errors:
			if !ok {
				return
			}
			s.log.Warn("watching machine directories", "error", err)
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				s.reloadAll(w, root) // which ones were edited is not known
			}
		}
	}
}

// reloadEdited reads a machine again after an operation. What another program than nixvm has
// changed of its settings meanwhile is taken as an edit: what nixvm itself changes is in the
// inventory already.
func (s *Service) reloadEdited(name string) {
	before, _ := s.inventory.Get(name)
	s.inventory.Reload(name)
	after, _ := s.inventory.Get(name)
	if before == nil || before.Machine == nil || settingsSeen(before) == settingsSeen(after) {
		return
	}
	s.mu.Lock()
	s.editedIn[name] = true
	s.mu.Unlock()
	select {
	case s.wakeEdits <- struct{}{}:
	default: // it is about to look
	}
}

// edited reads a machine again after a change below its directory, and returns its name
// if another program than nixvm has changed its settings. Machines that an operation works
// on are read again when it ends.
func (s *Service) edited(w *fsnotify.Watcher, root string, ev fsnotify.Event) (byHand string) {
	rel, err := filepath.Rel(root, ev.Name)
	if err != nil {
		return ""
	}
	name, file, inside := strings.Cut(rel, string(filepath.Separator))
	if names.Machine(name) != nil {
		return ""
	}
	switch {
	case !inside && ev.Has(fsnotify.Create):
		s.watchDir(w, ev.Name)
	case !inside && ev.Has(fsnotify.Rename):
		// The watch of the directory goes with its former name, perhaps after that of the
		// new one was made: it is the same directory.
		if err := s.watchAll(w, root); err != nil {
			s.log.Warn("cannot watch machine directories", "error", err)
		}
	}
	if inside && strings.HasPrefix(file, ".") { // our own and editors' temporary files
		return ""
	}
	if s.engine.HeldBy(name) != nil {
		return ""
	}
	before, _ := s.inventory.Get(name)
	s.inventory.Reload(name)
	after, _ := s.inventory.Get(name)
	s.latest.again(0)
	if s.recordOf(name) != nil {
		s.repairSSH()
	}
	if settingsSeen(before) == settingsSeen(after) {
		return ""
	}
	return name
}
