package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/hostclock"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
	"github.com/nixvm/nixvm/sshconfig"
	"github.com/nixvm/nixvm/vm/inventory"
)

// Options are the parts that a Service stands on.
type Options struct {
	Layout   paths.Layout
	Config   Config
	Machines *machine.Store
	Images   Images
	Backends []backends.Backend
	SSH      *sshconfig.Config
	Log      *slog.Logger

	journalHook func(operation.Entry)               // tests: called after an entry of a journal is durable
	limits      operation.Limits                    // tests: shorter ones
	spaceTick   time.Duration                       // tests: between two looks at the space for disks
	watchClock  func(context.Context, func()) error // tests: instead of hostclock.Watch
	editQuiet   time.Duration                       // tests: another one than the constant
}

// Open reads everything, asks the backends, finishes or undoes what an earlier
// daemon left, and returns a Service that follows the backends' events. The
// recovery of operations goes on in the background, each keeping its machine
// busy as it did before.
func Open(ctx context.Context, o Options) (*Service, error) {
	s := &Service{
		layout: o.Layout, config: o.Config, machines: o.Machines, images: o.Images, ssh: o.SSH, log: o.Log,
		limits: usualLimits(), editQuiet: cmp.Or(o.editQuiet, editQuiet),
		backends:  map[string]backends.Backend{},
		watchers:  map[int]func(Change){},
		taken:     map[string]string{},
		removing:  map[string]chan struct{}{},
		held:      map[string]*sshconfig.Holder{},
		clock:     map[string]*clockCheck{},
		counts:    map[string]*snapshotCount{},
		disks:     &diskMeter{kick: make(chan struct{}, 1)},
		diskSizes: map[string]diskSize{},
		editedIn:  map[string]bool{},
		wakeEdits: make(chan struct{}, 1),
		misfits:   map[string]*problem.Error{},
		scarce:    map[string]bool{},
		wakeSpace: map[string]chan struct{}{},
		clocks:    make(chan struct{}, clocksAtOnce),
		latest:    newLatestImages(),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	s.engine = operation.New(operation.Options{
		Dir: o.Layout.Journal(), Verbs: s.kinds(), Owner: owner{s}, Keys: keysOf, Check: checkSubject,
		Order: &s.publishing, Log: o.Log, Limits: o.limits, Hook: o.journalHook,
	})
	for _, b := range o.Backends {
		if s.backends[b.Name()] != nil {
			return nil, problem.New(problem.ConfigInvalid, "two backends are named %q", b.Name())
		}
		s.backends[b.Name()] = b
		s.wakeSpace[b.Name()] = make(chan struct{}, 1)
	}
	s.inventory = inventory.New(s.ctx, inventory.Options{
		Layout: s.layout, Machines: s.machines, Backends: o.Backends, Log: s.log, AskLimit: s.limits.ask, Hooks: s.hooks(),
	})
	if err := s.inventory.Load(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.repair(ctx)
	s.repairSSHFiles(ctx)
	if o.watchClock == nil {
		o.watchClock = hostclock.Watch
	}
	s.watchClock(o.watchClock)
	if err := s.watchMachines(); err != nil {
		s.log.Warn("cannot watch machine directories: manual edits take effect after a restart", "error", err)
	}
	s.keepReserve()
	s.sweepBackups()
	if err := s.engine.Recover(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.repairSSH()
	s.background(s.followLatest)
	if o.spaceTick != never {
		s.background(s.followDisks)
	}
	s.watchSpace(o.spaceTick)
	s.latest.again(0)
	s.disks.again(0)
	return s, nil
}

// closeLimit is what the backends get to close, and what follows them to end, after
// the operations have.
const closeLimit = 5 * time.Second

// CloseLimit is how long Close takes at most, for any hang.
func CloseLimit() time.Duration { return operation.DefaultLimits().Closing() + closeLimit }

// errClosing is the cause with which Close ends what follows and waits.
var errClosing = errors.New("the service is closing")

// Close lets running operations go (the next daemon finishes or undoes them), stops
// following and closes the backends. VMs run on. It takes bounded time: a host that
// does not answer is left alone, and the error says so.
func (s *Service) Close() error {
	all := []error{s.engine.Close()} // what is undone needs the backends
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.inventory.Stop()
	s.cancel(errClosing)
	if s.machineDirs != nil {
		all = append(all, s.machineDirs.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	all = append(all, within(ctx, "close the backends and their event streams", func() error {
		s.closeForwards()
		err := s.closeBackends()
		s.inventory.Wait()
		return errors.Join(err, s.work.Close(ctx))
	}))
	return errors.Join(all...)
}

// closeBackends closes all at once: one that hangs must not keep the others open.
func (s *Service) closeBackends() error {
	results := make(chan error, len(s.backends))
	for name, b := range s.backends {
		go func() {
			err := b.Close()
			if err != nil {
				err = fmt.Errorf("close backend %s: %w", name, err)
			}
			results <- err
		}()
	}
	var all []error
	for range s.backends {
		all = append(all, <-results)
	}
	return errors.Join(all...)
}

// within calls fn and gives up waiting for it when ctx is done.
func within(ctx context.Context, what string, fn func() error) error {
	result := make(chan error, 1)
	go func() { result <- fn() }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
}
