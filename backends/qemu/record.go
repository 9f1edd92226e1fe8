package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/atomicfile"
)

// recordVersion is the format of vm.json. A newer one is refused, not guessed at.
const recordVersion = 1

// maxRecord bounds what is read back; an honest record is a few hundred bytes
// and some more per snapshot.
const maxRecord = 4 << 20

// record is vm.json: what is not in the disks themselves.
type record struct {
	Version   int                     `json:"version"`
	UUID      string                  `json:"uuid"`
	MAC       string                  `json:"mac"`
	Mutable   bool                    `json:"mutable,omitempty"`
	Image     string                  `json:"image"`          // id of the image that the boot disk was made from
	Backing   string                  `json:"backing"`        // its file, absolute
	Port      int                     `json:"port,omitempty"` // on 127.0.0.1, forwarded to the guest's 22; kept
	Run       *run                    `json:"run,omitempty"`  // nil = no process
	End       *end                    `json:"end,omitempty"`  // how the last run ended
	Snapshots map[string]snapshotNote `json:"snapshots,omitempty"`
}

// run is a QEMU process. PID alone identifies nothing: it counts only together with
// the start time and the boot id.
type run struct {
	PID     int       `json:"pid"`
	Start   uint64    `json:"start"` // field 22 of /proc/<pid>/stat, clock ticks since boot
	BootID  string    `json:"bootId"`
	Started time.Time `json:"started"`
	Accel   string    `json:"accel"`
	Bridge  string    `json:"bridge,omitempty"`
	Groups  []int     `json:"iommuGroups,omitempty"` // of the PCI devices that it has
	// Sockets is the directory of its sockets: absolute, or in that of the VM. Empty =
	// an older nixvmd has started it, see vmFiles.socketsOf; its network ends for good.
	Sockets string `json:"sockets,omitempty"`
	// Network is the process of the user-mode network, which ends with QEMU.
	Network *companion `json:"network,omitempty"`
	// Log is the process that writes qemu.log, which does so too.
	Log *companion `json:"log,omitempty"`
	// Frozen is set before the guest's file systems are frozen and cleared
	// after the thaw, so that the adopting daemon can thaw it.
	Frozen bool `json:"frozen,omitempty"`
}

// companion is a process of the same boot as its run.
type companion struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// end is how a run ended.
type end struct {
	State  backends.State `json:"state"` // Stopped or Crashed
	Reason string         `json:"reason,omitempty"`
}

// snapshotNote is what qcow2 does not keep about a snapshot.
type snapshotNote struct {
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
	Frozen      bool      `json:"frozen,omitempty"`
}

// errNewer is a record of a nixvm that is newer than this one: nothing is wrong
// with it, and nothing may be written in its place.
var errNewer = errors.New("it was written by a newer nixvmd")

// isDamaged reports whether a VM has a record that can only be made again.
func isDamaged(err error) bool {
	var unreadable *fs.PathError // a right, a disk: the content may be in order
	switch {
	case err == nil || errors.Is(err, errNewer):
		return false
	case errors.Is(err, fs.ErrNotExist):
		return true
	}
	return !errors.As(err, &unreadable)
}

func parseRecord(b []byte) (*record, error) {
	var r record
	err := json.Unmarshal(b, &r)
	switch {
	case r.Version > recordVersion: // first: its fields may have other types
		return nil, fmt.Errorf("%s: version %d, expected %d: %w", recordFile, r.Version, recordVersion, errNewer)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", recordFile, err)
	case r.Version != recordVersion:
		return nil, fmt.Errorf("%s: version %d, expected %d", recordFile, r.Version, recordVersion)
	case r.Port < 0 || r.Port > 65535:
		return nil, fmt.Errorf("%s: port %d", recordFile, r.Port)
	case r.Run != nil && (r.Run.PID <= 1 || r.Run.BootID == ""):
		return nil, fmt.Errorf("%s: process %d of boot %q", recordFile, r.Run.PID, r.Run.BootID)
	case r.Run != nil && r.Run.Network != nil && r.Run.Network.PID <= 1:
		return nil, fmt.Errorf("%s: network process %d", recordFile, r.Run.Network.PID)
	case r.Run != nil && r.Run.Log != nil && r.Run.Log.PID <= 1:
		return nil, fmt.Errorf("%s: log process %d", recordFile, r.Run.Log.PID)
	case r.End != nil && r.End.State != backends.Stopped && r.End.State != backends.Crashed:
		return nil, fmt.Errorf("%s: a run ended as %q", recordFile, r.End.State)
	}
	return &r, nil
}

func (f vmFiles) readRecord() (*record, error) {
	file, err := os.Open(f.path(recordFile))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if st, err := file.Stat(); err != nil || st.Size() > maxRecord {
		return nil, errors.Join(err, fmt.Errorf("%s: too large", recordFile))
	}
	b, err := os.ReadFile(f.path(recordFile))
	if err != nil {
		return nil, err
	}
	return parseRecord(b)
}

func (f vmFiles) writeRecord(r *record) error {
	r.Version = recordVersion
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(f.path(recordFile), append(b, '\n'), 0o600)
}

// update changes the record under the VM's record lock, so that the end of a
// process and a snapshot cannot overwrite each other's part.
func (b *Backend) update(name string, change func(*record)) error {
	v := b.vm(name)
	v.recording.Lock()
	defer v.recording.Unlock()
	f := filesOf(b.layout, name)
	r, err := b.readOrRebuild(name, f)
	if err != nil {
		return err
	}
	change(r)
	return f.writeRecord(r)
}

// exists reports whether the VM has a directory, whole or not.
func (f vmFiles) exists() bool {
	_, err := os.Lstat(f.dir)
	return !errors.Is(err, fs.ErrNotExist)
}
