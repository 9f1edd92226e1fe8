package vm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// imageUsers returns a function that names the machines which need an image.
//
// It asks the text of their records, and of the journals of operations that have
// not ended, whether the id stands in it: then nothing that a record says of
// images, in any field of any version, even in one that cannot be
// read, is overlooked.
func (s *Service) imageUsers() (func(id string) []string, error) {
	texts := map[string][][]byte{} // by machine
	read := func(dir, suffix string, nameOf func(file string, content []byte) string) error {
		files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
		if err != nil {
			return err
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if os.IsNotExist(err) {
				continue // the operation has just ended
			}
			if err != nil {
				return fmt.Errorf("determine which images are used: %w", err)
			}
			name := nameOf(file, content)
			texts[name] = append(texts[name], content)
		}
		return nil
	}
	err := read(s.layout.Records(), ".json", func(file string, _ []byte) string {
		return strings.TrimSuffix(filepath.Base(file), ".json")
	})
	if err == nil {
		err = read(s.layout.Journal(), ".jsonl", func(file string, _ []byte) string {
			return "the operation " + strings.TrimSuffix(filepath.Base(file), ".jsonl")
		})
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	for name, id := range s.taken {
		if s.engine.HeldBy(name) != nil {
			texts[name] = append(texts[name], []byte(id))
		}
	}
	s.mu.Unlock()
	return func(id string) []string {
		var users []string
		for name, list := range texts {
			if slices.ContainsFunc(list, func(text []byte) bool { return bytes.Contains(text, []byte(id)) }) {
				users = append(users, name)
			}
		}
		slices.Sort(users)
		return users
	}, nil
}

// claim says what needs an image. If nothing does, take waits until release.
func (s *Service) claim(id string) (user string, release func(), err error) {
	s.mu.Lock()
	if s.removing[id] != nil {
		s.mu.Unlock()
		return "another image gc", nil, nil
	}
	removed := make(chan struct{})
	s.removing[id] = removed
	s.mu.Unlock()
	release = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.removing, id)
		close(removed)
	}
	// What took the image before is seen now: as an operation, or in its record.
	users, err := s.imageUsers()
	if err != nil {
		release()
		return "", nil, err
	}
	if user = strings.Join(users(id), ", "); user != "" {
		release()
		return user, nil, nil
	}
	return "", release, nil
}

// take notes that an operation of the machine is about to use the image, until
// it has ended. It waits while that very image is being removed, and reports
// false when it is not there any more.
func (s *Service) take(ctx context.Context, machine, id string) (bool, error) {
	for {
		s.mu.Lock()
		removed := s.removing[id]
		if removed == nil {
			s.taken[machine] = id // claim sees it from here on
		}
		s.mu.Unlock()
		if removed == nil {
			_, err := s.images.Get(id)
			return err == nil, nil
		}
		select {
		case <-removed:
		case <-ctx.Done():
			return false, fmt.Errorf("wait for the removal of image %s: %w", id, ctx.Err())
		}
	}
}
