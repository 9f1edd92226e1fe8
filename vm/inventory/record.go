package inventory

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
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// RecordVersion is the format of the records that are written. 1, or none, are those
// without a version. A record with a later one is refused and left as it is.
const RecordVersion = 2

// Record is what must be remembered of a VM besides the machine directory: it exists
// exactly while a VM exists.
type Record struct {
	Version  int    `json:"version,omitempty"`
	Machine  string `json:"machine"`
	Instance string `json:"instance,omitempty"` // see InstanceID
	Backend  string `json:"backend"`
	// UUID by which the backend knows the VM; see [Entry.Ref]. Empty in earlier records:
	// until the next start of the VM.
	UUID string `json:"uuid,omitempty"`
	// VMID is the number that the backend has given the VM; 0 where it numbers none.
	VMID  int   `json:"vmid,omitempty"`
	Image Image `json:"image"`

	// CurrentGeneration and History are the images that the VM can boot from; see Generations.
	// 0 and none in the record of a VM that was never upgraded.
	CurrentGeneration int          `json:"currentGeneration,omitempty"`
	History           []Generation `json:"history,omitempty"`

	// Generation and Digest of the identity medium: a new generation is made
	// when the identity files have changed since.
	Generation uint64 `json:"generation"`
	Digest     string `json:"digest"`

	// Identity is what the medium of the VM has of the machine, as machine.FileDigests
	// says it; nil in earlier records, and until the VM starts: not known. AtBoot are
	// the files of it that the running guest puts into force at its next boot only.
	Identity map[string]string `json:"identity,omitempty"`
	AtBoot   []string          `json:"atBoot,omitempty"`
	// Started is what else of the machine the VM was started with last; nil in earlier
	// records: not known.
	Started *Resources `json:"started,omitempty"`
	// DiskAtBoot: the disk was enlarged while the VM was running, and the guest extends its
	// file system at its next boot only.
	DiskAtBoot bool `json:"diskAtBoot,omitempty"`

	// Declared: create made the machine directory, so destroy removes it.
	Declared bool      `json:"declared"`
	Created  time.Time `json:"created"`
	// Rebuilt: the record was lost and has been made again; whether create made the
	// machine directory is not known.
	Rebuilt bool `json:"rebuilt,omitempty"`

	// Guest is kept for the time when the machine directory does not parse, or is gone.
	// Records of version 1 have none.
	Guest *Guest `json:"guest,omitempty"`
}

// Resources are settings that a VM takes over when it starts.
type Resources struct {
	MemoryMiB int    `json:"memoryMiB"`
	VCPUs     int    `json:"vcpus"`
	DiskBytes int64  `json:"diskBytes"`
	Network   string `json:"network"` // as the machine names it; empty: the backend's default
	// PCIDevices, separated by spaces; of a backend that passes none through, those that the
	// machine is declared with.
	PCIDevices string `json:"pciDevices,omitempty"`
}

// ResourcesOf are those of a machine.
func ResourcesOf(m machine.Machine) Resources {
	return Resources{MemoryMiB: m.MemoryMiB, VCPUs: m.VCPUs, DiskBytes: m.DiskBytes, Network: m.Network.String(), PCIDevices: strings.Join(m.PCIDevices, " ")}
}

// Image names the image that the VM's disks were made from.
type Image struct {
	Kind    string `json:"kind"` // "nixos", "trial" or a file, as asked for
	ID      string `json:"id"`
	Distro  string `json:"distro"`
	Version string `json:"version"`
	// Profiles that the machine had when the image was chosen for it, as ProfileList
	// writes them; empty in records of earlier versions: not known.
	Profiles string `json:"profiles,omitempty"`
	// Mode of the image, and so of the VM; empty in records of earlier versions: that of
	// the machine.
	Mode string `json:"mode,omitempty"`
}

// Guest is what SSH clients need to know of a VM.
type Guest struct {
	UUID     string   `json:"uuid"`
	HostKey  string   `json:"hostKey"`            // public, one line of authorized_keys format
	Forwards []string `json:"forwards,omitempty"` // remote forwards, as in the machine's file
}

// guestOf is what a machine directory says of the guest.
func guestOf(m machine.Machine) Guest {
	g := Guest{UUID: m.UUID, HostKey: m.HostKeyPublic}
	for _, f := range m.RemoteForwards {
		g.Forwards = append(g.Forwards, f.String())
	}
	return g
}

// RemoteForwards are the forwards that parse; an older or newer nixvm may have written
// others.
func (g Guest) RemoteForwards() []machine.RemoteForward {
	var list []machine.RemoteForward
	for _, line := range g.Forwards {
		if f, err := machine.ParseForward(line); err == nil {
			list = append(list, f)
		}
	}
	return list
}

func (g Guest) equal(other Guest) bool {
	return g.UUID == other.UUID && g.HostKey == other.HostKey && slices.Equal(g.Forwards, other.Forwards)
}

// ProfileList is one spelling for one set of profiles.
func ProfileList(profiles []string) string {
	return strings.Join(append([]string{"core"}, slices.Sorted(slices.Values(profiles))...), ",")
}

// InstanceID tells this VM from every other one that has, had or will have its
// name. A record of an older version has the time at which it was made instead,
// which nothing changes afterwards.
func (r *Record) InstanceID() string {
	if r.Instance != "" {
		return r.Instance
	}
	return "made-" + r.Created.UTC().Format(time.RFC3339Nano)
}

// OtherProfiles reports whether the machine has other profiles than the image of its VM
// was chosen for. No start gives it those: they are part of the image.
func (r *Record) OtherProfiles(m machine.Machine) bool {
	return r.Image.Profiles != "" && r.Image.Profiles != ProfileList(m.Profiles)
}

// ModeOf is the mode of the VM of a machine, which may have got another one since.
func (r *Record) ModeOf(m machine.Machine) machine.Mode {
	if r == nil || r.Image.Mode == "" {
		return m.Mode
	}
	return machine.Mode(r.Image.Mode)
}

// ErrDamaged is a record that can only be made again. ErrNewer is one of a later
// version of nixvm, which is in order.
var (
	ErrDamaged = errors.New("it is empty, truncated or overwritten")
	ErrNewer   = errors.New("it was written by a newer version of nixvm")
)

// maxRecord bounds what is read of a record, in bytes; an honest one has some hundred.
const maxRecord = 1 << 20

// records are the files. The caller holds lockFiles of the name.
type records struct{ layout paths.Layout }

func (f records) write(r Record) error {
	r.Version = RecordVersion
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(f.layout.Record(r.Machine), append(content, '\n'), 0o600)
}

// read returns nil for a machine without VM. The error wraps ErrDamaged or ErrNewer
// where it is one of those.
func (f records) read(name string) (*Record, error) {
	path := f.layout.Record(name)
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
	// The version first: what a later one means by the other fields is its affair.
	var format struct {
		Version int `json:"version"`
	}
	if json.Unmarshal(content, &format) == nil && format.Version > RecordVersion {
		return nil, problem.New(problem.MachineBroken, "the record %s of the VM has format %d; this nixvmd supports up to %d: %w",
			path, format.Version, RecordVersion, ErrNewer).
			WithHint("run the version of nixvmd that wrote it; %s has not been changed", name)
	}
	var r Record
	if err := json.Unmarshal(content, &r); err != nil || r.Machine != name || r.Backend == "" {
		return nil, problem.New(problem.MachineBroken, "the record %s of the VM cannot be read: %w", path, ErrDamaged).
			WithHint("the disks of %s are not changed; nixvmd recreates the record as soon as the backend that has them is reachable: see nixvmd doctor", name)
	}
	return &r, nil
}

func (f records) remove(name string) error { return atomicfile.Remove(f.layout.Record(name)) }

// names lists the machines that have a record.
func (f records) names() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(f.layout.Records(), "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	names := make([]string, 0, len(files))
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".json"))
	}
	return names, nil
}
