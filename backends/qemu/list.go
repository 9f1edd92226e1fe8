package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/names"
)

// List returns every VM with a directory, and every unfinished one that New
// could not sweep away.
func (b *Backend) List(ctx context.Context) ([]backends.Status, error) {
	var all []backends.Status
	for _, name := range b.names() {
		s, err := b.Status(ctx, backends.Named(name))
		if err != nil {
			return nil, err
		}
		if s.State != backends.Absent {
			all = append(all, s)
		}
	}
	return all, nil
}

// names lists the VMs that have a directory.
func (b *Backend) names() []string {
	entries, err := os.ReadDir(b.layout.VMs())
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		if names.IsMachine(e.Name()) {
			found = append(found, e.Name())
		}
	}
	return found
}

// Status answers from memory for a running VM, and from its directory otherwise.
func (b *Backend) Status(ctx context.Context, ref backends.Ref) (backends.Status, error) {
	if err := names.Machine(ref.Name); err != nil {
		return backends.Status{}, err
	}
	if err := ctx.Err(); err != nil {
		return backends.Status{}, err
	}
	s := b.statusOf(ref.Name)
	if !ref.Is(s.UUID) {
		return backends.Status{Name: ref.Name, State: backends.Absent}, nil
	}
	return s, nil
}

func (b *Backend) statusOf(name string) backends.Status {
	if inst := b.held(name); inst != nil {
		return inst.status()
	}
	return statusOnDisk(filesOf(b.layout, name), name)
}

// statusOnDisk reads the state of a VM of which this Backend holds no process.
func statusOnDisk(f vmFiles, name string) backends.Status {
	s := backends.Status{Name: name}
	r, err := f.readRecord()
	switch {
	case errors.Is(err, fs.ErrNotExist) && !f.exists():
		s.State = backends.Absent
		return s
	case errors.Is(err, fs.ErrNotExist):
		s.State, s.Reason = backends.Broken, recordFile+" is missing"
		return s
	case err != nil:
		s.State, s.Reason = backends.Broken, backends.OneLine(err.Error())
		return s
	}
	s.UUID = r.UUID
	if err := f.complete(r); err != nil {
		s.State, s.Reason = backends.Broken, backends.OneLine(err.Error())
		return s
	}
	if r.Run.alive() {
		// Held by another nixvmd, or it could not be adopted.
		s.State, s.PID, s.Started, s.Accel = backends.Unknown, r.Run.PID, r.Run.Started, r.Run.Accel
		s.Reason = f.outOfReach(r.Run, name)
		return s
	}
	e := f.ended(r)
	s.State, s.Reason = e.State, e.Reason
	return s
}

// outOfReach says what is wrong with a process that lives and is not held.
func (f vmFiles) outOfReach(r *run, name string) string {
	if _, err := os.Lstat(f.socketsOf(r).path(qmpSocket)); lostSockets(err) {
		return fmt.Sprintf("its control sockets are gone, but QEMU (process %d) is still running: %s", r.PID, afterLoss(name))
	}
	return fmt.Sprintf("QEMU (process %d) does not answer this nixvmd; nixvmd kill %s ends it", r.PID, name)
}

// complete says which file is missing of those that cannot be made again.
func (f vmFiles) complete(r *record) error {
	if _, err := os.Stat(f.state(r.Mutable)); err != nil {
		return fmt.Errorf("the state disk is missing: %w", err)
	}
	if r.Mutable {
		return nil
	}
	if _, err := os.Stat(r.Backing); err != nil && r.Backing != "" { // a record made again may not know it
		return fmt.Errorf("the image is missing: %w", err)
	}
	return nil
}

// ended says how a VM without a process came to be without one. QEMU removes
// its pid file when it ends in order, so a file that is still there after an end that
// was not observed means a crash, of QEMU or of the host.
func (f vmFiles) ended(r *record) end {
	if r.Run == nil {
		if r.End != nil {
			return *r.End
		}
		return end{State: backends.Stopped}
	}
	if _, err := os.Lstat(f.path(pidFile)); errors.Is(err, fs.ErrNotExist) {
		return end{State: backends.Stopped, Reason: "it ended while nixvmd was not running"}
	}
	if r.Run.BootID != host.BootID() {
		return end{State: backends.Crashed, Reason: "the host was restarted"}
	}
	return end{State: backends.Crashed, Reason: lastWords(f, logFile, "QEMU was killed")}
}

// running returns the instance of a running or suspended VM.
func (b *Backend) running(ref backends.Ref) (*instance, error) {
	name := ref.Name
	if err := names.Machine(name); err != nil {
		return nil, err
	}
	if inst := b.held(name); inst != nil && ref.Is(inst.uuid) {
		return inst, nil
	} else if inst != nil {
		return nil, refusal.NotFound(name)
	}
	f := filesOf(b.layout, name)
	if !f.exists() || !f.is(ref) {
		return nil, refusal.NotFound(name)
	}
	if r, err := f.readRecord(); err == nil && r.Run.alive() {
		_, err := os.Lstat(f.socketsOf(r.Run).path(qmpSocket))
		if err == nil {
			err = errSilent
		}
		return nil, unanswered(name, r.Run.PID, err)
	}
	return nil, refusal.NotRunning(name)
}
