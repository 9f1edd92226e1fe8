package vm

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
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

// GiveUpLimit is how long a request goes on, at most, once its context is done.
func GiveUpLimit() time.Duration { return operation.DefaultLimits().Soon }

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

// limits are how long others may take. Tests shorten them.
type limits struct {
	// ask is for one question to a backend whose answer is only read, check for
	// finding out what a backend needs.
	ask, check time.Duration
	// back is for a guest that boots its former image. The undo that waits for it has two
	// minutes for everything.
	back time.Duration
}

func usualLimits() limits {
	return limits{ask: 10 * time.Second, check: time.Minute, back: time.Minute}
}

// background runs fn in a goroutine that Close waits for. It reports false, and does
// not call fn, once the service is closed.
func (s *Service) background(fn func()) bool { return s.work.Go(fn) }

func notFound(name string) *problem.Error {
	return problem.New(problem.MachineNotFound, "there is no machine %q", name).
		WithHint("nixvmd list shows the machines; nixvmd create %s creates it", name)
}

// clockCheck is how far the comparison of one guest's clock is.
type clockCheck struct {
	began  time.Time // the last one
	runs   bool
	wanted bool // the host's clock has jumped while it ran: its result may be of before
}
