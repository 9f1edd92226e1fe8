package vm

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// record is what we must remember of a realised VM besides the machine
// directory: it exists exactly while a VM exists.
type record struct {
	Machine  string      `json:"machine"`
	Instance string      `json:"instance,omitempty"` // see instance
	Backend  string      `json:"backend"`
	Image    recordImage `json:"image"`

	// Generation and Digest of the identity medium: a new generation is made
	// when the identity files have changed since.
	Generation uint64 `json:"generation"`
	Digest     string `json:"digest"`

	// Declared: create made the machine directory, so destroy removes it.
	Declared bool      `json:"declared"`
	Created  time.Time `json:"created"`
}

// recordImage names the image that the VM's disks were made from.
type recordImage struct {
	Kind    string `json:"kind"` // "nixos", "trial" or a file, as asked for
	ID      string `json:"id"`
	Distro  string `json:"distro"`
	Version string `json:"version"`
}

func (s *Service) writeRecord(r record) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return diskProblem(atomicfile.Write(s.layout.Record(r.Machine), append(content, '\n'), 0o600))
}

// readRecord returns nil for a machine without VM.
func (s *Service) readRecord(name string) (*record, error) {
	path := s.layout.Record(name)
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(content, &r); err != nil || r.Machine != name || r.Backend == "" {
		return nil, problem.New(problem.MachineBroken, "%s cannot be read as the record of a VM", path).
			WithHint("restore it from a backup, or remove the VM: nixvmd purge %s --confirm %s", name, name)
	}
	return &r, nil
}

func (s *Service) removeRecord(name string) error { return atomicfile.Remove(s.layout.Record(name)) }

// recordNames lists the machines that have a record.
func (s *Service) recordNames() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(s.layout.Records(), "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	names := make([]string, 0, len(files))
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	return names, nil
}

// diskProblem gives a full disk its own code.
func diskProblem(err error) error {
	if noSpace(err) {
		return problem.New(problem.DiskFull, "%w", err).WithHint("free some space, or delete snapshots and images that are not needed").Retry()
	}
	return err
}
