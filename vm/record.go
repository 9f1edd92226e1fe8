package vm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
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
	// Profiles that the machine had when the image was chosen for it, as profileList
	// writes them; empty in records of earlier versions: not known.
	Profiles string `json:"profiles,omitempty"`
}

// profileList is one spelling for one set of profiles.
func profileList(profiles []string) string {
	return strings.Join(append([]string{"core"}, slices.Sorted(slices.Values(profiles))...), ",")
}

// pending names the settings of a machine that its VM does not have and that no
// start gives it: those are part of the image.
func (r record) pending(m machine.Machine) []string {
	if r.Image.Profiles == "" || r.Image.Profiles == profileList(m.Profiles) {
		return nil
	}
	return []string{fieldProfiles}
}

func (s *Service) writeRecord(r record) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return diskProblem(atomicfile.Write(s.layout.Record(r.Machine), append(content, '\n'), 0o600))
}

// errDamaged is a record that can only be made again; see Service.repair.
var errDamaged = errors.New("it is empty, cut off or overwritten")

// maxRecord bounds what is read of a record, in bytes; an honest one has some hundred.
const maxRecord = 1 << 20

// readRecord returns nil for a machine without VM. A damaged one is errDamaged.
func (s *Service) readRecord(name string) (*record, error) {
	path := s.layout.Record(name)
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxRecord))
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(content, &r); err != nil || r.Machine != name || r.Backend == "" {
		return nil, problem.New(problem.MachineBroken, "the record %s of the VM cannot be read: %w", path, errDamaged).
			WithHint("the disks of %s are not touched; nixvmd makes the record again as soon as it can ask the backend that has them: see nixvmd doctor", name)
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
