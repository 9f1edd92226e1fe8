package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/hostclock"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/internal/workgroup"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
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

// Images is what the service needs of the image store; *nixbuild.Store is one.
type Images interface {
	Get(id string) (nixbuild.Image, error)
	List() ([]nixbuild.Image, []error)
	// Ensure returns the image that is asked for, building it if need be.
	Ensure(ctx context.Context, req nixbuild.Request, report progress.Reporter) (nixbuild.Image, error)
	// Import takes an image file into the store.
	Import(ctx context.Context, path, mode string, report progress.Reporter) (nixbuild.Image, error)
	Profiles() nixbuild.Catalogue
	// CheckRequest refuses what Ensure could not build: unknown profiles, a
	// kind without builder, missing programs. It returns the id of the image.
	CheckRequest(req nixbuild.Request) (id string, err error)
	// CanBuild reports whether images of a kind can be built on this host.
	CanBuild(kind string) bool
	// Missing says what keeps images from being built on this host.
	Missing() []*problem.Error
	// Notes is what the user should know of the builders, a sentence each.
	Notes() []string
	// Collect removes the images that nothing needs.
	Collect(ctx context.Context, rules nixbuild.Rules) ([]nixbuild.Collected, []error)
	// Size is how many bytes an image takes on the disk.
	Size(id string) int64
}

// Service holds the state of all machines and runs their operations. Its
// methods may be called from any goroutine; reads answer from memory.
//
// Lock order: publishing, then mu. publishing is held while a change is made
// and told, so that every watcher sees changes in the order in which they
// happened; mu guards the fields and is never held while anything outside is
// called.
type Service struct {
	layout   paths.Layout
	config   Config
	machines *machine.Store
	images   Images
	backends map[string]backends.Backend
	ssh      *sshconfig.Config
	log      *slog.Logger

	inventory *inventory.Inventory // what is known of each machine
	latest    *latestImages        // what images the machines would get now
	disks     *diskMeter           // what their disks take

	ctx    context.Context // of the service's life
	cancel context.CancelCauseFunc
	work   workgroup.Group // everything that follows and waits
	engine *operation.Engine

	publishing sync.Mutex
	watchers   map[int]func(Change) // guarded by publishing
	nextWatch  int

	mu       sync.Mutex
	taken    map[string]string            // image that a machine's running operation is about to use
	removing map[string]chan struct{}     // images being removed; closed when that is over
	notices  []api.Notice                 // the last ones, oldest first
	held     map[string]*sshconfig.Holder // of the forwards that the daemon holds, by machine
	clock    map[string]*clockCheck       // by machine
	scarce   map[string]bool              // storages with too little space, by backends.Space.Storage
	counts   map[string]*snapshotCount    // by machine

	diskSizes map[string]diskSize // by machine; see measure

	editedIn map[string]bool           // machines whose files were edited while they were busy; see followEdits
	misfits  map[string]*problem.Error // settings written by hand that a VM cannot have, by machine
	closing  bool

	wakeSpace   map[string]chan struct{} // by backend: has its space looked at now
	wakeEdits   chan struct{}            // machines have been added to editedIn
	clocks      chan struct{}            // holds a token for each guest whose clock is being compared
	sshMu       sync.Mutex               // one ssh config change at a time
	limits      limits
	editQuiet   time.Duration
	machineDirs io.Closer // the watch on the machines directory
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

// GiveUpLimit is how long a request goes on, at most, once its context is done.
func GiveUpLimit() time.Duration { return operation.DefaultLimits().Soon }

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

// Busy reports whether an operation runs.
func (s *Service) Busy() bool {
	return s.engine.Busy()
}

// Watch calls fn for every change from now on, in order, until cancel. fn must
// not block and must not call Watch. A List taken after Watch has returned
// misses nothing.
func (s *Service) Watch(fn func(Change)) (cancel func()) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	id := s.nextWatch
	s.nextWatch++
	s.watchers[id] = fn
	return func() {
		s.publishing.Lock()
		defer s.publishing.Unlock()
		delete(s.watchers, id)
	}
}

// tell passes a change to all watchers; publishing is held.
func (s *Service) tell(c Change) {
	for _, fn := range s.watchers {
		fn(c)
	}
}
