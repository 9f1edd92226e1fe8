package vm

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/vm/inventory"
)

const (
	// readyLimit is how long a guest may take from power-on to sshd: an emulated
	// one on a loaded machine needs almost a minute, a first boot formats disks.
	readyLimit = 10 * time.Minute
	// stopLimit is the default limit for a guest to shut down.
	stopLimit = 3 * time.Minute
)

type startArgs struct {
	WasOff bool `json:"wasOff"` // cancelling takes the start back
}

type resumeArgs struct {
	WhenFull bool `json:"whenFull,omitempty"` // it is paused because its host's disk was full; otherwise there is nothing to do
}

type stopArgs struct {
	Timeout time.Duration `json:"timeout"`
}

func (s *Service) planStart(name string, args startArgs) operation.Plan {
	start := operation.Step{Name: "start", Title: "starting the VM", Weight: 1, Do: func(ctx context.Context, _ *operation.Run) error { return s.startVM(ctx, name) }}
	if args.WasOff {
		start.Undo = func(ctx context.Context, _ *operation.Run) error { return s.killVM(ctx, name) }
		start.Undoes, start.Holds = "powers the VM off", func() bool { return s.stateSeen(name) == backends.Running }
	}
	steps := append(s.uploadForStart(name), start)
	return operation.Plan{Commit: len(steps), CancelUndoes: true, Detail: detail{left: s.runsSince(name)}, Steps: append(steps, s.readyStep(name))}
}

// readyStepName is the step of all operations that wait for sshd.
const readyStepName = "ready"

// readyStep waits for sshd; nothing to undo.
func (s *Service) readyStep(name string) operation.Step {
	return operation.Step{Name: readyStepName, Title: "waiting for the guest's SSH server", Weight: 20, Do: func(ctx context.Context, _ *operation.Run) error {
		ctx, cancel := context.WithTimeout(ctx, readyLimit)
		defer cancel()
		return s.inventory.WaitReady(ctx, name)
	}}
}

// Stop asks the guest to shut down and waits until it has. timeout 0 takes the
// default; after it the VM runs on and the operation fails with vm.stop_timeout.
func (s *Service) Stop(ctx context.Context, name string, timeout time.Duration, client string) (api.Operation, error) {
	if timeout <= 0 {
		timeout = stopLimit
	}
	op := api.Operation{Kind: api.KindStop, Machine: name, Client: client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (stopArgs, error) {
		st, err := s.statusNow(ctx, name)
		switch {
		case err == nil && st.Full:
			err = hostFull(name, "shut down")
		case err == nil && st.State == backends.Suspended:
			err = problem.New(problem.VMNotRunning, "%s is suspended and cannot be shut down", name).
				WithHint("nixvmd resume %s first, or nixvmd kill %s", name, name)
		}
		return stopArgs{Timeout: timeout}, err
	})
}

func (s *Service) planStop(name string, args stopArgs) operation.Plan {
	return operation.Plan{Steps: []operation.Step{s.disconnectStep(name), s.shutdownStep(name, args.Timeout)}}
}

// shutdownStep asks the guest to power off and waits until it has.
func (s *Service) shutdownStep(name string, limit time.Duration) operation.Step {
	return operation.Step{Name: "shutdown", Title: "waiting for the guest to shut down", Weight: 10, Do: func(ctx context.Context, _ *operation.Run) error {
		b, err := s.backendOf(name)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if err := s.shutdown(ctx, b, name); err != nil {
			return err
		}
		return s.inventory.Refresh(ctx, b, name)
	}}
}

// pauseStep is shutdownStep in an operation that starts the VM again; its undo does, too.
// A guest that has been asked to power off does so sooner or later, whatever became of the
// operation: where the wait was cut short, the undo waits for it first. A guest that does
// not is left alone, and so is one that is known not to have been asked.
func (s *Service) pauseStep(name string, unasked bool, start func(context.Context, *operation.Run) error) operation.Step {
	st := s.shutdownStep(name, stopLimit)
	shutdown, answered := st.Do, unasked
	st.Do = func(ctx context.Context, r *operation.Run) error {
		err := shutdown(ctx, r)
		// Kill and destroy do not want it running again, nor do they wait.
		answered = err == nil || ctx.Err() == nil || operation.GaveWay(context.Cause(ctx))
		return err
	}
	st.Undoes = "starts the VM"
	st.Undo = func(ctx context.Context, r *operation.Run) error {
		if state, err := s.stateNow(ctx, name); err == nil && state == backends.Running && !answered {
			err = shutdown(ctx, r)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				r.Warn(name + " was asked to shut down, and may still do so: " + err.Error())
			}
		}
		return start(ctx, r)
	}
	return st
}

// disconnectStep closes the SSH masters before the guest goes away: a client on
// a master whose guest is gone hangs until its keepalive gives up.
func (s *Service) disconnectStep(name string) operation.Step {
	return operation.Step{Name: "disconnect", Title: "closing SSH connections", Do: func(ctx context.Context, _ *operation.Run) error {
		s.disconnect(ctx, name)
		return nil
	}}
}

// Kill ends a VM at once, also one whose machine directory is broken or gone.
func (s *Service) Kill(ctx context.Context, name, client string) (api.Operation, error) {
	op := api.Operation{Kind: api.KindKill, Machine: name, Client: client}
	return operation.Begin(ctx, s.engine, op, func(context.Context) (noArgs, error) {
		_, err := s.backendOf(name)
		return noArgs{}, err
	})
}

func (s *Service) planKill(name string, _ noArgs) operation.Plan {
	return operation.Plan{Steps: []operation.Step{s.disconnectStep(name), {
		Name: "kill", Title: "powering the VM off", Do: func(ctx context.Context, _ *operation.Run) error { return s.killVM(ctx, name) },
	}}}
}

func (s *Service) killVM(ctx context.Context, name string) error {
	b, err := s.backendOf(name)
	if err != nil {
		return err
	}
	if err := b.Kill(ctx, s.ref(name)); err != nil {
		return err
	}
	return s.inventory.Refresh(ctx, b, name)
}

// Reboot shuts the guest down, starts the VM again and waits for its sshd.
func (s *Service) Reboot(ctx context.Context, name, client string) (api.Operation, error) {
	return s.beginRunning(ctx, api.KindReboot, name, client)
}

// planReboot ends the VM and starts it rather than resetting it: no connection
// to the old guest is left for a client to hang on, changed settings take
// effect, and an emulated guest boots at its usual speed. After a reset QEMU
// (7.2, TCG) still has the translated code of the last kernel on the pages that
// the new one writes, and a boot took three to four times as long.
func (s *Service) planReboot(name string, _ noArgs) operation.Plan {
	// The upload comes first: meanwhile the guest runs.
	return operation.Plan{Steps: append(s.uploadForStart(name), s.disconnectStep(name), s.shutdownStep(name, stopLimit), operation.Step{
		Name: "start", Title: "starting the VM", Shielded: true,
		Do: func(ctx context.Context, _ *operation.Run) error { return s.startVM(ctx, name) },
	}, s.readyStep(name))}
}

// Suspend pauses a VM; its memory stays.
func (s *Service) Suspend(ctx context.Context, name, client string) (api.Operation, error) {
	return s.beginRunning(ctx, api.KindSuspend, name, client)
}

func (s *Service) planSuspend(name string, _ noArgs) operation.Plan {
	return operation.Plan{Steps: []operation.Step{s.disconnectStep(name), {
		Name: "suspend", Title: "suspending the VM", Do: func(ctx context.Context, _ *operation.Run) error {
			return s.onSuspender(ctx, name, backends.Suspender.Suspend)
		},
	}}}
}

// Resume continues a suspended VM.
func (s *Service) Resume(ctx context.Context, name, client string) (api.Operation, error) {
	return s.beginRunning(ctx, api.KindResume, name, client)
}

func (s *Service) planResume(name string, args resumeArgs) operation.Plan {
	if args.WhenFull { // no client waits for its sshd
		return operation.Plan{Steps: []operation.Step{{
			Name: "resume", Title: "resuming the VM", Do: func(ctx context.Context, _ *operation.Run) error {
				if st, err := s.statusNow(ctx, name); err != nil || !st.Full {
					return err
				}
				return s.onSuspender(ctx, name, backends.Suspender.Resume)
			},
		}}}
	}
	return operation.Plan{Steps: []operation.Step{{
		Name: "resume", Title: "resuming the VM", Do: func(ctx context.Context, _ *operation.Run) error {
			return s.onSuspender(ctx, name, backends.Suspender.Resume)
		},
	}, s.readyStep(name)}}
}

// onSuspender suspends or resumes a VM and takes over the new state.
func (s *Service) onSuspender(ctx context.Context, name string, method func(backends.Suspender, context.Context, backends.Ref) error) error {
	b, err := s.backendOf(name)
	if err != nil {
		return err
	}
	host, err := s.suspender(name)
	if err != nil {
		return err
	}
	if err := method(host, ctx, s.ref(name)); err != nil {
		return err
	}
	return s.inventory.Refresh(ctx, b, name)
}

// suspender is the backend of a VM, which must be one that suspends.
func (s *Service) suspender(name string) (backends.Suspender, error) {
	b, err := s.backendOf(name)
	if err != nil {
		return nil, err
	}
	return backends.Require[backends.Suspender](b, "suspend VMs")
}

// stateNow asks the backend, so that a refusal rests on what is, not on an
// event that may still be on its way.
func (s *Service) stateNow(ctx context.Context, name string) (backends.State, error) {
	st, err := s.statusNow(ctx, name)
	return st.State, err
}

// statusNow is stateNow with all that the backend says.
func (s *Service) statusNow(ctx context.Context, name string) (backends.Status, error) {
	b, err := s.backendOf(name)
	if err != nil {
		return backends.Status{}, err
	}
	return ask(ctx, s, s.limits.ask, "the state of "+name, func(ctx context.Context) (backends.Status, error) { return b.Status(ctx, s.ref(name)) })
}

// hostFull is why a VM that its host's disk keeps from running cannot do something now.
func hostFull(name, what string) *problem.Error {
	return problem.New(problem.DiskFull, "%s is paused, because the disk of its host is full, and cannot %s", name, what).
		WithHint("free some space on the host: the VM then resumes by itself; or nixvmd kill %s", name).Retry()
}

// beginRunning begins an operation of a VM that must run or be suspended. One that is out of
// reach may: its backend says what can be done.
func (s *Service) beginRunning(ctx context.Context, kind api.Kind, name, client string) (api.Operation, error) {
	op := api.Operation{Kind: kind, Machine: name, Client: client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (noArgs, error) {
		st, err := s.statusNow(ctx, name)
		state := st.State
		if err == nil && st.Full && kind != api.KindResume {
			err = hostFull(name, map[api.Kind]string{api.KindReboot: "reboot", api.KindSuspend: "be suspended"}[kind])
		}
		if err == nil && kind == api.KindReboot {
			var m machine.Machine
			var b backends.Backend
			if m, b, err = s.realised(name); err == nil { // it is started again
				err = s.checkPCIDevices(ctx, b, name, m.PCIDevices, m.MemoryMiB)
			}
		}
		if err == nil && (kind == api.KindSuspend || kind == api.KindResume) {
			_, err = s.suspender(name)
		}
		if err == nil && !inventory.Alive(state) {
			err = problem.New(problem.VMNotRunning, "%s is not running: it is %s", name, state).WithHint("nixvmd start %s", name)
		}
		return noArgs{}, err
	})
}

// runsSince is the leftover of an operation that starts a VM: whether it still
// runs, and has not been started again since.
func (s *Service) runsSince(name string) leftover {
	return func(_ context.Context, _, until time.Time) bool {
		e, ok := s.inventory.Get(name)
		if !ok || !inventory.Alive(e.Status.State) {
			return false
		}
		return e.Status.State == backends.Unknown || !e.Status.Started.After(until)
	}
}

// stateSeen is the last state of a VM from its backend, even if there are problems with the
// machine's own files.
func (s *Service) stateSeen(name string) backends.State {
	if e, ok := s.inventory.Get(name); ok {
		return e.Status.State
	}
	return backends.Absent
}

// startRestored starts a VM whose disk has been restored, whatever its machine's file says
// of PCI devices by now: that is said, and does not hold up the restore.
func (s *Service) startRestored(ctx context.Context, r *operation.Run, name string) error {
	if err := s.startVM(ctx, name); err != nil {
		return err
	}
	m, b, err := s.realised(name)
	if p := s.pciProblem(b, &m); err == nil && p != nil {
		r.Warn(p.Message)
	}
	return nil
}
