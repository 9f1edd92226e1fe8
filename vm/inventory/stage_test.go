package inventory

import (
	"context"
	"crypto/ed25519"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// staged is a backend whose events, and whose answers to Status, come when the test says
// so. The PID of a status is its number: each change has the next one.
type staged struct {
	backends.Backend // nil: nothing else is called
	out              chan backends.Event

	mu       sync.Mutex
	status   map[string]backends.Status
	waiting  []backends.Event // reported and not delivered
	answers  []chan struct{}  // Status calls that have read and have not returned
	held     bool             // Status waits
	arrived  chan struct{}    // a Status call has read
	listFail error
	endpoint func() (backends.Endpoint, error)
}

func newStaged() *staged {
	return &staged{out: make(chan backends.Event), status: map[string]backends.Status{}, arrived: make(chan struct{}, 100)}
}

func (b *staged) Name() string                  { return "staged" }
func (b *staged) Events() <-chan backends.Event { return b.out }

func (b *staged) Mark(number uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, backends.Event{Kind: backends.Marked, Mark: number})
}

func (b *staged) Endpoint(context.Context, backends.Ref) (backends.Endpoint, error) {
	b.mu.Lock()
	endpoint := b.endpoint
	b.mu.Unlock()
	if endpoint == nil {
		return backends.Endpoint{}, problem.New(problem.VMNotReady, "nothing listens").Retry()
	}
	return endpoint()
}

// become changes a VM, as events report.
func (b *staged) become(name string, state backends.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.status[name]
	st := backends.Status{Name: name, State: state, PID: before.PID + 1, Started: before.Started}
	if state == backends.Running && before.State != backends.Suspended {
		st.Started = time.Unix(int64(st.PID), 0)
	}
	b.status[name] = st
	b.waiting = append(b.waiting, backends.Event{Kind: backends.StateChanged, Status: st})
}

func (b *staged) now(name string) backends.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	if st, ok := b.status[name]; ok {
		return st
	}
	return backends.Status{Name: name, State: backends.Absent}
}

func (b *staged) Status(ctx context.Context, ref backends.Ref) (backends.Status, error) {
	st := b.now(ref.Name)
	b.mu.Lock()
	var release chan struct{}
	if b.held {
		release = make(chan struct{})
		b.answers = append(b.answers, release)
	}
	b.mu.Unlock()
	select {
	case b.arrived <- struct{}{}:
	default:
	}
	if release != nil {
		select {
		case <-release:
		case <-ctx.Done():
			return backends.Status{}, ctx.Err()
		}
	}
	return st, nil
}

func (b *staged) List(context.Context) ([]backends.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []backends.Status
	for _, st := range b.status {
		list = append(list, st)
	}
	return list, b.listFail
}

func (b *staged) report(e backends.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, e)
}

// deliver hands the oldest event over; false when there is none.
func (b *staged) deliver() bool {
	b.mu.Lock()
	if len(b.waiting) == 0 {
		b.mu.Unlock()
		return false
	}
	e := b.waiting[0]
	b.waiting = b.waiting[1:]
	b.mu.Unlock()
	b.out <- e
	return true
}

// release lets the oldest Status call return; false when there is none.
func (b *staged) release() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.answers) == 0 {
		return false
	}
	close(b.answers[0])
	b.answers = b.answers[1:]
	return true
}

func (b *staged) hold(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = on
}

// stage is an inventory over a staged backend.
type stage struct {
	*Inventory
	b       *staged
	layout  paths.Layout
	mu      sync.Mutex
	notices []string
	ended   []string
	changed func(name string)
	running map[string]bool
}

func newStage(t testing.TB, home string) *stage {
	t.Helper()
	s, err := openStage(home)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openStage(home string) (*stage, error) {
	layout := paths.Under(home)
	if err := layout.Ensure(); err != nil {
		return nil, err
	}
	store, err := machine.OpenStore(layout.Machines())
	if err != nil {
		return nil, err
	}
	s := &stage{b: newStaged(), layout: layout, running: map[string]bool{}}
	s.Inventory = New(context.Background(), Options{
		Layout: layout, Machines: store, Backends: []backends.Backend{s.b},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), AskLimit: time.Minute, Again: time.Millisecond,
		Hooks: Hooks{
			Changed: func(name string) {
				if s.changed != nil {
					s.changed(name)
				}
			},
			Ready:     func(string) {},
			Restarted: func(string) {},
			Ended:     func(name string) { s.note(&s.ended, name) },
			AgentUp:   func(string) {},
			Notice:    func(text string) { s.note(&s.notices, text) },

			CapabilitiesChanged: func(string) {},

			Busy: func(name string) bool { s.mu.Lock(); defer s.mu.Unlock(); return s.running[name] },
		},
	})
	defer s.pump()()
	return s, s.Load(context.Background())
}

func (s *stage) note(list *[]string, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, text)
}

// put makes the record of a VM with a host key of its own.
func (s *stage) put(t testing.TB, name string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	if err := s.PutRecord(Record{Machine: name, Backend: "staged", Guest: &Guest{HostKey: line}}); err != nil {
		t.Fatal(err)
	}
}

// sync returns when everything that was delivered has been applied.
func (s *stage) sync(t testing.TB) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Refresh(context.Background(), s.b, "nosuch") }()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		case <-time.After(time.Millisecond):
			for s.b.deliver() {
				continue
			}
		}
	}
}

// close ends the stage; nothing of it may be left.
func (s *stage) close() {
	s.Stop()
	close(s.b.out)
	s.Wait()
}

// pump delivers events and answers until stop is called.
func (s *stage) pump() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			for s.b.release() || s.b.deliver() {
				continue
			}
			select {
			case <-done:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() { close(done); <-ended }
}
