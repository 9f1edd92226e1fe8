// Package backendtest is the conformance suite of backends.Backend: what every
// implementation must do, run unchanged against each of them.
//
// An implementation gives a [Harness], which says how to open the backend and
// what the surroundings can do, and calls [Run]. The suite boots one VM and
// takes it through its life in an order in which one boot serves many
// questions; what a Harness cannot do, and what a backend does not offer
// ([backends.As]), is skipped by name.
//
// Nothing here sleeps: the suite waits for events and for calls to return, all
// within Harness.Limit.
package backendtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// Harness is one implementation with its surroundings.
type Harness struct {
	// Open opens the backend. It is called several times, always over the same
	// state: the suite closes and opens it to see what survives. Required.
	Open func(t testing.TB) backends.Backend
	// Spec makes a valid specification of a VM, with a guest that boots and
	// obeys the guest contract. Each name has an identity of its own, with the
	// name as host name and another generation; called twice with one name it
	// gives the same. Required.
	Spec func(t testing.TB, name string) backends.Spec
	// Renewed makes another identity of a VM, of the same length as that of Spec: one
	// more host, called RenewedHost. nil = the guest takes none while it runs.
	Renewed func(t testing.TB, name string) backends.Identity
	// Limit bounds every single wait; 0 = 180 s. It is there to end a hang, not
	// to measure.
	Limit time.Duration
	// Exec runs a shell command as root in the guest, waits for sshd if it does
	// not answer yet, and returns the output. nil = the suite only looks from outside.
	Exec func(ctx context.Context, e backends.Endpoint, command string) (string, error)
	// Murder ends the running VM behind the backend's back, as a crash would.
	// nil = not possible.
	Murder func(t testing.TB, s backends.Status)
	// HalfMade makes a VM of that name as a crash in the middle of Create leaves
	// it. nil = not possible.
	HalfMade func(t testing.TB, name string)
	// Autostart reports what the host itself says: whether it starts the VM when
	// it boots. nil = it cannot be asked.
	Autostart func(t testing.TB, name string) bool
	// Exhaustive adds the reboot that the guest asks for itself, which takes minutes
	// under emulation: QEMU resets an emulated CPU in place.
	Exhaustive bool
	// StateDisk is where the guest keeps files, a directory that snapshots
	// cover; empty = /var.
	StateDisk string
}

// RenewedHost is a name in the /etc/hosts of a guest with the identity that
// Harness.Renewed makes.
const RenewedHost = "renewed.example"

// Run runs the whole suite.
func Run(t *testing.T, h Harness) {
	h = h.complete()
	t.Run("identity", func(t *testing.T) { testIdentity(newSuite(t, h)) })
	t.Run("a VM that does not exist", func(t *testing.T) { testAbsent(newSuite(t, h)) })
	t.Run("bad input", func(t *testing.T) { testBadInput(newSuite(t, h)) })
	t.Run("create and destroy", func(t *testing.T) { testCreate(newSuite(t, h)) })
	t.Run("offline snapshots", func(t *testing.T) { testOffline(newSuite(t, h)) })
	t.Run("another image", func(t *testing.T) { testSwap(newSuite(t, h)) })
	t.Run("clones", func(t *testing.T) { testClone(newSuite(t, h)) })
	t.Run("a VM that is set aside", func(t *testing.T) { testShelve(newSuite(t, h)) })
	t.Run("another name", func(t *testing.T) { testRename(newSuite(t, h)) })
	t.Run("numbers of VMs", func(t *testing.T) { testAllocate(newSuite(t, h)) })
	t.Run("nodes", func(t *testing.T) { testNodes(newSuite(t, h)) })
	t.Run("disks that come and go", func(t *testing.T) { testTransfer(newSuite(t, h)) })
	t.Run("a VM that a crash left half made", func(t *testing.T) { testHalfMade(newSuite(t, h)) })
	t.Run("life of a VM", func(t *testing.T) { testLife(newSuite(t, h)) })
}

// RunDisks is the part of Run that moves disks and boots no guest, for a second way in
// which a backend keeps them.
func RunDisks(t *testing.T, h Harness) {
	h = h.complete()
	t.Run("offline snapshots", func(t *testing.T) { testOffline(newSuite(t, h)) })
	t.Run("clones", func(t *testing.T) { testClone(newSuite(t, h)) })
	t.Run("a VM that is set aside", func(t *testing.T) { testShelve(newSuite(t, h)) })
	t.Run("disks that come and go", func(t *testing.T) { testTransfer(newSuite(t, h)) })
}

func (h Harness) complete() Harness {
	if h.Limit == 0 {
		h.Limit = 180 * time.Second
	}
	if h.StateDisk == "" {
		h.StateDisk = "/var"
	}
	return h
}

// suite is one test with an open backend.
type suite struct {
	*testing.T
	h      Harness
	ctx    context.Context
	b      backends.Backend
	can    backends.Capabilities
	events *events
}

// as is the optional interface T of the backend that is open now, which the
// capabilities say that it has.
func as[T any](s *suite) T {
	s.Helper()
	found, ok := backends.As[T](s.b)
	if !ok {
		s.Fatalf("the backend does not offer %T", (*T)(nil))
	}
	return found
}

func (s *suite) snapshotter() backends.Snapshotter { s.Helper(); return as[backends.Snapshotter](s) }
func (s *suite) cloner() backends.Cloner           { s.Helper(); return as[backends.Cloner](s) }
func (s *suite) suspender() backends.Suspender     { s.Helper(); return as[backends.Suspender](s) }

// snapshots reports whether the backend takes any.
func (s *suite) snapshots() bool {
	_, ok := backends.As[backends.Snapshotter](s.b)
	return ok
}

func newSuite(t *testing.T, h Harness) *suite {
	s := &suite{T: t, h: h, ctx: t.Context()}
	s.open()
	t.Cleanup(func() { s.close() })
	return s
}

func (s *suite) open() {
	s.b = s.h.Open(s.T)
	s.can = backends.CapabilitiesOf(s.b)
	s.events = collect(s.b)
}

// close closes the backend and checks that it closes its events.
func (s *suite) close() {
	s.Helper()
	if err := s.b.Close(); err != nil {
		s.Errorf("Close: %v", err)
	}
	select {
	case <-s.events.done:
	case <-time.After(s.h.Limit):
		s.Errorf("Close did not close the events")
	}
}

// reopen is a restart of the daemon.
func (s *suite) reopen() {
	s.Helper()
	s.close()
	s.open()
}

// create makes a VM that is destroyed at the end of the test.
func (s *suite) create(name string) backends.Spec {
	s.Helper()
	spec := s.h.Spec(s.T, name)
	s.prepare(spec.Image)
	s.must(s.b.Create(s.limit(), spec, nil), "Create")
	s.destroyAtEnd(name)
	return spec
}

// prepare brings an image to a backend that is an ImageHost, twice.
func (s *suite) prepare(img backends.Image) {
	s.Helper()
	host, ok := backends.As[backends.ImageHost](s.b)
	if !ok {
		return
	}
	for range 2 {
		s.must(host.PrepareImage(s.limit(), img, nil), "PrepareImage")
	}
	img.ID, img.Disk = img.ID+"-missing", img.Disk+"-is-not-there"
	s.refused(host.PrepareImage(s.limit(), img, nil), problem.ImageNotFound, "PrepareImage of a file that is not there")
}

func (s *suite) destroyAtEnd(name string) {
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.h.Limit)
		defer cancel()
		if err := s.b.Destroy(ctx, backends.Named(name)); err != nil {
			s.Errorf("Destroy %s at the end: %v", name, err)
		}
	})
}

// step is a part of a longer test; the test ends when it fails.
func (s *suite) step(name string, f func()) {
	s.Helper()
	outer := s.T
	ok := outer.Run(name, func(t *testing.T) {
		s.T = t
		defer func() { s.T = outer }()
		f()
	})
	if s.T = outer; !ok {
		outer.FailNow()
	}
}

// limit returns a context that ends with the test or after the harness' limit.
func (s *suite) limit() context.Context {
	ctx, cancel := context.WithTimeout(s.ctx, s.h.Limit)
	s.Cleanup(cancel)
	return ctx
}

func (s *suite) must(err error, what string) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v%s", what, err, hint(err))
	}
}

func hint(err error) string {
	if p := problem.From(err); p != nil && p.Hint != "" {
		return fmt.Sprintf(" [%s; hint: %s]", p.Code, p.Hint)
	}
	return ""
}

// refused checks that err carries the code.
func (s *suite) refused(err error, code problem.Code, what string) {
	s.Helper()
	if !problem.HasCode(err, code) {
		s.Errorf("%s = %v, want a problem with code %s", what, err, code)
	}
}

// state checks the state of a VM, in Status and in List.
func (s *suite) state(name string, want backends.State) backends.Status {
	s.Helper()
	got, err := s.b.Status(s.limit(), backends.Named(name))
	s.must(err, "Status")
	if got.State != want || got.Name != name {
		s.Fatalf("Status(%s) = %+v, want state %s", name, got, want)
	}
	listed := s.listed(name)
	if want == backends.Absent && listed != nil {
		s.Fatalf("List has %+v, which is absent", *listed)
	}
	if want != backends.Absent && (listed == nil || listed.State != want) {
		s.Fatalf("List has %+v for %s, want state %s", listed, name, want)
	}
	return got
}

func (s *suite) listed(name string) *backends.Status {
	s.Helper()
	all, err := s.b.List(s.limit())
	s.must(err, "List")
	for _, v := range all {
		if v.Name == name {
			return &v
		}
	}
	return nil
}

// run runs a command in the guest.
func (s *suite) run(name, command string) string {
	s.Helper()
	ctx, e := s.limit(), s.endpoint(name)
	out, err := s.h.Exec(ctx, e, command)
	s.must(err, "in the guest, "+command)
	return out
}

// endpoint asks until the guest has an address: the agent may come up before
// the network does.
func (s *suite) endpoint(name string) backends.Endpoint {
	s.Helper()
	ctx := s.limit()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		e, err := s.b.Endpoint(ctx, backends.Named(name))
		if !problem.HasCode(err, problem.VMNotReady) {
			s.must(err, "Endpoint")
			return e
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.must(err, "Endpoint")
		}
	}
}
