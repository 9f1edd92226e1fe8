package qemu

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/cond"
	"github.com/nixvm/nixvm/backends/internal/console"
	"github.com/nixvm/nixvm/backends/qemu/qmp"
)

// instance is one QEMU process with its connections. Its state is what the
// events said; every change wakes those who wait in until.
type instance struct {
	b       *Backend
	v       *vm
	uuid    string // of the VM; empty = not on record
	run     run
	proc    *process
	sockets sockets
	network *process // nil on a bridge, and when it had ended before the VM was adopted; watch replaces it
	qmp     *qmp.Client
	console *console.Shared
	talking chan struct{} // token: one conversation with the guest agent at a time
	leave   chan struct{} // closed by stopWatching
	done    chan struct{} // closed when the process has ended and that is on record, or after stopWatching

	mu       sync.Mutex // guards the rest
	changed  *cond.Cond // for those who wait in until
	live     bool       // the virtual CPUs have been let go once: events count
	state    backends.State
	reason   string
	shutdown string // reason of the SHUTDOWN event
	asked    bool   // we wanted the end
	agent    bool   // the guest has opened the agent's port
	full     bool   // QEMU has paused it, or is about to, because a write found the host's disk full
	cut      string // the network process has ended before QEMU: what comes of it
}

// connect joins a QEMU process: console, QMP, events. The caller has it held, or
// gives it up by drop. On error the processes are the caller's.
func (b *Backend) connect(ctx context.Context, v *vm, uuid string, proc *process, this run) (*instance, error) {
	i := &instance{
		b: b, v: v, uuid: uuid, proc: proc, run: this, sockets: v.files.socketsOf(&this),
		talking: make(chan struct{}, 1), leave: make(chan struct{}), done: make(chan struct{}),
		state: backends.Suspended,
	}
	i.changed = cond.New(&i.mu, i.done, errGone)
	var err error
	err = shortly(i.sockets.path(qmpSocket), func(path string) error {
		i.qmp, err = qmp.Dial(ctx, path, i.onEvent)
		return err
	})
	if err != nil {
		return nil, err
	}
	if i.console, err = openConsole(ctx, v.files, i.sockets); err != nil {
		i.qmp.Close()
		return nil, err
	}
	return i, nil
}

// drop gives up an instance that is not held.
func (i *instance) drop() {
	i.qmp.Close()
	i.console.Close()
}

// hold makes i the running instance of its VM, with its network process if it has
// one. The caller lets the virtual CPUs go, or asks for the state.
func (i *instance) hold(network *process) {
	i.network = network
	if i.isAlone() {
		i.cut = i.fateOfNetwork()
	}
	i.v.mu.Lock()
	i.v.inst = i
	i.v.mu.Unlock()
	go i.watch()
}

// watch waits for the end of the process and puts it on record.
func (i *instance) watch() {
	defer close(i.done)
	defer i.console.Close()
	defer i.proc.release()
	defer func() {
		if i.network != nil {
			i.network.release()
		}
	}()
	switch i.whatEnds() {
	case processGone:
		i.recordEnd()
	case connectionLost:
		i.abandon()
	case released:
	}
	i.qmp.Close()
}

// What can end a watch.
type endKind int

const (
	processGone endKind = iota
	connectionLost
	released
)

func (i *instance) whatEnds() endKind {
	var lost, alone <-chan time.Time
	var network <-chan struct{}
	renewal := i.newRenewal()
	defer renewal.end()
	if i.network != nil {
		network = i.network.gone
	} else if i.isAlone() {
		renewal.begin()
	}
	monitor := i.qmp.Done()
	for {
		select {
		case <-i.proc.gone:
			// Every event that QEMU sent has been read when the connection is at its end.
			select {
			case <-i.qmp.Done():
			case <-time.After(i.b.limits.lost):
			}
			return processGone
		case <-i.leave:
			return released
		case <-monitor:
			monitor, lost = nil, time.After(i.b.limits.lost)
		case <-lost:
			return connectionLost
		case <-network: // most often because QEMU is about to be gone too
			network, alone = nil, time.After(i.b.limits.alone)
		case <-alone:
			renewal.begin()
		case p := <-renewal.renewed:
			renewal.take(p)
			network = p.gone
			i.connected()
		}
	}
}

func (i *instance) recordEnd() {
	i.proc.heard()
	e := i.ending()
	if i.network != nil { // it ends by itself; but the port must be free once the end is on record
		if err := killAndWait(context.Background(), i.network); err != nil {
			i.log().Error("the network process of the VM does not exit", "error", err)
		}
	}
	if err := i.b.writeEnd(i.v, e); err != nil {
		i.log().Error("cannot record the end of the VM", "error", err)
	}
	i.detach(backends.Status{Name: i.v.name, UUID: i.uuid, State: e.State, Reason: e.Reason})
	i.log().Info("VM ended", "state", e.State, "reason", e.Reason)
}

// abandon gives up a process whose monitor is gone while it lives. It is tried to
// adopt it again.
func (i *instance) abandon() {
	err := i.qmp.Err()
	st := i.status()
	st.State, st.Reason = backends.Unknown, "the connection to QEMU was lost"
	i.detach(st)
	i.log().Error("lost the connection to QEMU", "error", err)
	i.b.attend(i.v)
}

// detach makes v free of this instance and reports the status that it has from now
// on, in one step: an event of the next run cannot overtake this one.
func (i *instance) detach(now backends.Status) {
	i.v.mu.Lock()
	defer i.v.mu.Unlock()
	i.v.inst = nil
	i.v.disown()
	i.b.events.Push(backends.Event{Kind: backends.StateChanged, Status: now})
}

// ending says how the process ended, from the last events.
func (i *instance) ending() end {
	i.mu.Lock()
	defer i.mu.Unlock()
	defer i.changed.Broadcast()
	switch {
	case i.asked:
		return end{State: backends.Stopped}
	case i.shutdown == "guest-shutdown":
		return end{State: backends.Stopped, Reason: "the guest powered off"}
	case i.shutdown == "host-signal" || i.shutdown == "host-qmp-quit":
		return end{State: backends.Stopped, Reason: "QEMU was terminated by another process"}
	case i.shutdown == "guest-panic":
		return end{State: backends.Crashed, Reason: "the guest's kernel panicked"}
	}
	return end{State: backends.Crashed, Reason: lastWords(i.v.files, logFile, "QEMU was killed")}
}

// writeEnd records that no process runs any more and removes its sockets.
func (b *Backend) writeEnd(v *vm, e end) error {
	if r, err := v.files.readRecord(); err == nil && r.Run != nil {
		v.files.removeSockets(v.files.socketsOf(r.Run))
	}
	return b.update(v.name, func(r *record) { r.Run, r.End = nil, &e })
}

// stopWatching ends the watch; the process runs on.
func (i *instance) stopWatching() {
	close(i.leave)
	<-i.done
}

func (i *instance) log() *slog.Logger { return i.b.log.With("vm", i.v.name, "pid", i.proc.pid) }

// status is what the events said.
func (i *instance) status() backends.Status {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.statusLocked()
}

func (i *instance) statusLocked() backends.Status {
	return backends.Status{
		Name: i.v.name, UUID: i.uuid, State: i.state, Reason: i.statusReason(),
		Started: i.run.Started, Accel: i.run.Accel, PID: i.proc.pid, Cut: i.cut != "",
		Full: i.full && i.state == backends.Suspended,
	}
}

// statusReason is what is wrong with a VM that has not ended. i.mu is held.
func (i *instance) statusReason() string {
	if i.reason == "" {
		return i.cut
	}
	return i.reason
}

// errGone is returned by waits on an instance that is no more: its process has
// ended, or we hold it no longer.
var errGone = errors.New("QEMU has ended, or cannot be reached")

// until waits for a change after which holds, called with i.mu held, is true.
func (i *instance) until(ctx context.Context, holds func() bool) error {
	return i.changed.Until(ctx, holds)
}

// ended reports whether errGone means that the process has ended; otherwise we
// have let go of it.
func (i *instance) ended() bool {
	select {
	case <-i.proc.gone:
		return true
	default:
		return false
	}
}

func (i *instance) is(cond func() bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return cond()
}

func (i *instance) agentUp() bool { return i.is(func() bool { return i.agent }) }

// goLive makes events count from now on.
func (i *instance) goLive() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.live = true
}

func (i *instance) expectEnd() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked = true
}
