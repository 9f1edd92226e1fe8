package qemu

import (
	"context"
	"os"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/freeze"
)

// adoptAll takes over every VM that runs without an owner, and puts on record
// the end of those that ended meanwhile. VMs are adopted side by side, and one that
// hangs delays nothing else: it is unknown until it answers.
func (b *Backend) adoptAll() {
	first := time.NewTimer(b.limits.first)
	defer first.Stop()
	var all []<-chan struct{}
	for _, name := range b.names() {
		if filesOf(b.layout, name).mayRun() {
			all = append(all, b.attend(b.vm(name)))
		}
	}
	for _, tried := range all {
		select {
		case <-tried:
		case <-first.C:
			return
		}
	}
}

// mayRun is a cheap look that is right about every VM that has a process, and
// true of one whose record has to be made again.
func (f vmFiles) mayRun() bool {
	r, err := f.readRecord()
	if isDamaged(err) || err == nil && r.Run != nil {
		return true
	}
	_, err = os.Lstat(f.path(pidFile))
	return err == nil
}

// adopt brings v in line with what runs: an instance for a live process, a
// record without a process otherwise. The caller owns the VM. A damaged record is
// recreated; one that cannot be is left to the operation that needs it.
func (b *Backend) adopt(ctx context.Context, v *vm) error {
	r, err := b.recordOf(v)
	if err != nil {
		return nil
	}
	if r.Run == nil {
		return b.endOrphan(ctx, v)
	}
	if !r.Run.alive() {
		return b.recordMissedEnd(ctx, v, r)
	}
	proc, err := openProcess(r.Run.PID, r.Run.Start)
	if err != nil {
		return b.recordMissedEnd(ctx, v, r) // it ended just now
	}
	ctx, done := v.reach(ctx, b.limits.adopt)
	defer done()
	proc.log = adoptLog(*r.Run)
	inst, err := b.connect(ctx, v, r.UUID, proc, *r.Run)
	if err != nil {
		proc.release()
		return unanswered(v.name, r.Run.PID, err)
	}
	inst.hold(adoptNetwork(*r.Run))
	if err := inst.catchUp(ctx, r.Run.Frozen); err != nil {
		v.release() // half of the truth is none: the next one asks again
		return unanswered(v.name, r.Run.PID, err)
	}
	if ctx.Err() != nil { // the code that ends the VM finds it now
		return unanswered(v.name, r.Run.PID, context.Cause(ctx))
	}
	return nil
}

// recordMissedEnd puts on record an end that was not observed.
func (b *Backend) recordMissedEnd(ctx context.Context, v *vm, r *record) error {
	if err := endCompanions(ctx, r.Run); err != nil {
		return err
	}
	e := v.files.ended(r)
	if err := b.writeEnd(v, e); err != nil {
		// Its files say the same; and on a full disk this must not keep the user from
		// removing the VM or its snapshots.
		b.log.Error("cannot record the end of the VM", "vm", v.name, "error", err)
	}
	b.push(v.name)
	return nil
}

// endOrphan ends a QEMU whose start was cut off before it was put on record. It has never
// run an instruction of the guest.
func (b *Backend) endOrphan(ctx context.Context, v *vm) error {
	pid, ok := v.files.orphan()
	if !ok {
		return nil
	}
	b.log.Info("killing a QEMU whose start was interrupted", "vm", v.name, "pid", pid)
	return killProcess(ctx, pid, 0)
}

// runState is the reply to query-status (RunState in qapi/run-state.json).
type runState struct {
	Status string `json:"status"`
}

// chardev is an element of the reply to query-chardev.
type chardev struct {
	Label        string `json:"label"`
	FrontendOpen bool   `json:"frontend-open"`
}

// catchUp asks for what the events of the time without us said.
func (i *instance) catchUp(ctx context.Context, frozen bool) error {
	var now runState
	if err := i.command(ctx, "query-status", nil, &now); err != nil {
		return err
	}
	switch now.Status {
	case "prelaunch", "shutdown":
		// Never let go, or powered off and about to end: both are off.
		i.log().Info("ending an interrupted VM", "status", now.Status)
		return i.kill(ctx)
	}
	var devs []chardev
	if err := i.command(ctx, "query-chardev", nil, &devs); err != nil {
		return err
	}
	i.appear(now.Status, devs)
	if frozen {
		// A dead daemon began it.
		if freeze.Thaw(ctx, agentGuest{i: i}, i.log()) {
			i.log().Info("thawed the guest: a snapshot was interrupted")
		}
	}
	i.log().Info("VM adopted", "status", now.Status)
	return nil
}

// appear makes the state that was found the current one, and says so.
func (i *instance) appear(status string, devs []chardev) {
	i.mu.Lock()
	defer i.mu.Unlock()
	defer i.changed.Broadcast()
	i.live = true
	i.state = backends.Suspended
	if status == "running" {
		i.state = backends.Running
	}
	if status == "io-error" {
		i.reason, i.full = backends.HostFull, true // nothing else pauses it: see launch.disks
	}
	i.emit(backends.StateChanged)
	for _, d := range devs {
		if d.Label == "agent" && d.FrontendOpen {
			i.agent = true
			i.emit(backends.GuestAgentUp)
		}
	}
}
