package fake_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/backends/fake"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformanceOfTheLocalKind(t *testing.T) { conform(t, nil) }

func TestConformanceOfTheRemoteKind(t *testing.T) {
	conform(t, &fake.Remote{Delay: time.Millisecond, Patience: time.Minute, Nodes: []string{"n1", "n2"}})
}

// No answer to a request that changes something arrives.
func TestConformanceOfARemoteKindThatLosesEveryAnswer(t *testing.T) {
	conform(t, &fake.Remote{Delay: time.Millisecond, Patience: time.Minute, Nodes: []string{"n1", "n2"}, LoseAnswer: func(string, string) bool { return true }})
}

// world is a directory with guests, and what runs in them.
type world struct {
	dir    string
	remote *fake.Remote
	key    ssh.Signer

	mu    sync.Mutex
	b     *fake.Backend
	hosts map[string]string // names by address of the SSH server
}

func newWorld(t testing.TB, remote *fake.Remote) *world {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: t.TempDir(), remote: remote, key: key, hosts: map[string]string{}}
	for _, file := range []string{"disk", "other"} {
		if err := os.WriteFile(filepath.Join(w.dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) open(testing.TB) backends.Backend { return w.client() }

func (w *world) client() *fake.Backend {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = fake.New(fake.Config{
		Name: "conformance", Dir: w.dir, Remote: w.remote, Limit: backends.Limits{VCPUs: 255, MemoryMiB: 1 << 20},
		HostKey: func(string) (ssh.Signer, error) { return w.key, nil },
	})
	return w.b
}

func (w *world) spec(_ testing.TB, name string) backends.Spec {
	h := fnv.New32a()
	h.Write([]byte(name))
	return backends.Spec{
		Name: name, UUID: uuid.NewSHA1(uuid.Nil, []byte(name)).String(), MAC: fmt.Sprintf("52:54:00:%02x:%02x:%02x", h.Sum32()&255, h.Sum32()>>8&255, h.Sum32()>>16&255),
		MemoryMiB: 512, VCPUs: 1, DiskBytes: 1 << 30, Identity: []byte(name),
		Image: backends.Image{ID: "image", Disk: filepath.Join(w.dir, "disk"), Format: "raw"},
	}
}

// exec is the shell of the guests: the few commands that the suite gives, on a disk
// that is one file.
func (w *world) exec(ctx context.Context, e backends.Endpoint, script string) (string, error) {
	w.mu.Lock()
	b := w.b
	w.mu.Unlock()
	name, err := hostAt(ctx, b, e)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, command := range strings.FieldsFunc(script, func(r rune) bool { return r == ';' || r == '&' }) {
		word := strings.Fields(command)
		switch word[0] {
		case "echo":
			err = b.Write(name, word[1])
		case "cat":
			var content string
			content, err = b.Content(name)
			fmt.Fprintln(&out, content)
		case "sync":
		case "hostname":
			fmt.Fprintln(&out, name)
		case "stat":
			var size int64
			size, err = b.DiskSize(name)
			fmt.Fprintf(&out, "%d,%d\n", size/4096, 4096)
		case "shutdown":
			err = b.Reboot(name)
		case "date":
			if word[1] == "-s" {
				b.FallBehind(name, time.Hour)
			}
			fmt.Fprintln(&out, time.Now().Add(-b.Behind(name)).Unix())
		default:
			err = fmt.Errorf("a guest does not know %q", word[0])
		}
		if err != nil {
			return out.String(), err
		}
	}
	return out.String(), nil
}

// hostAt is the guest whose SSH server is at an endpoint.
func hostAt(ctx context.Context, b *fake.Backend, e backends.Endpoint) (string, error) {
	list, err := b.List(ctx)
	if err != nil {
		return "", err
	}
	for _, st := range list {
		if at, err := b.Endpoint(ctx, backends.Named(st.Name)); err == nil && at == e {
			return st.Name, nil
		}
	}
	return "", errors.New("nothing answers at " + e.Address)
}

func conform(t *testing.T, remote *fake.Remote) {
	w := newWorld(t, remote)
	backendtest.Run(t, backendtest.Harness{
		Open: w.open, Spec: w.spec, Limit: 20 * time.Second, Exec: w.exec,
		Murder: func(t testing.TB, s backends.Status) {
			if err := w.b.Crash(s.Name, "murdered"); err != nil {
				t.Fatal(err)
			}
		},
		HalfMade: func(t testing.TB, name string) {
			if err := w.b.LeaveHalf(name); err != nil {
				t.Fatal(err)
			}
		},
		Autostart: func(t testing.TB, name string) bool {
			on, err := w.b.Autostart(name)
			if err != nil {
				t.Fatal(err)
			}
			return on
		},
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A task goes on when its client has gone: the next one finds what it has made.
func TestATaskOutlivesItsClient(t *testing.T) {
	begun := make(chan struct{}, 1)
	w := newWorld(t, &fake.Remote{Delay: 20 * time.Millisecond, Patience: time.Minute, Begun: func(string, string) { begun <- struct{}{} }})
	first := w.client()
	must(t, first.PrepareImage(t.Context(), w.spec(t, "demo").Image, nil))
	made := make(chan error, 1)
	go func() { made <- first.Create(context.Background(), w.spec(t, "demo"), nil) }()
	<-begun
	must(t, first.Close())
	<-made
	second := w.client()
	defer second.Close()
	if st, err := second.Status(t.Context(), backends.Named("demo")); err != nil || st.State == backends.Absent {
		t.Errorf("what a task is making is not seen: %+v, %v", st, err)
	}
	must(t, second.Destroy(t.Context(), backends.Named("demo"))) // behind it, or instead of it
	if st, err := second.Status(t.Context(), backends.Named("demo")); err != nil || st.State != backends.Absent {
		t.Errorf("left: %+v, %v", st, err)
	}
}

// While the cluster is away nothing is known, nothing is called broken, and what
// happened there is told when it is back.
func TestAClusterThatIsAwayIsSilentAndThenTells(t *testing.T) {
	w := newWorld(t, &fake.Remote{Patience: time.Millisecond})
	b := w.client()
	defer b.Close()
	spec := w.spec(t, "demo")
	must(t, b.PrepareImage(t.Context(), spec.Image, nil))
	must(t, b.Create(t.Context(), spec, nil))
	must(t, b.Start(t.Context(), spec))
	b.GoAway()
	if st, err := b.Status(t.Context(), backends.Named("demo")); err != nil || st.State != backends.Unknown {
		t.Errorf("away: %+v, %v", st, err)
	}
	for what, err := range map[string]error{
		"Kill": b.Kill(t.Context(), backends.Named("demo")), "Create": b.Create(t.Context(), w.spec(t, "new"), nil),
		"Destroy": b.Destroy(t.Context(), backends.Named("demo")),
	} {
		if !problem.HasCode(err, problem.BackendUnreachable) {
			t.Errorf("%s while it is away: %v", what, err)
		}
	}
	must(t, b.Crash("demo", "the power went"))
	must(t, b.ComeBack())
	var last backends.Status
	for last.State != backends.Crashed {
		select {
		case e := <-b.Events():
			last = e.Status
		case <-time.After(20 * time.Second):
			t.Fatalf("the last event says %+v", last)
		}
	}
	if st, err := b.Status(t.Context(), backends.Named("demo")); err != nil || st.State != backends.Crashed {
		t.Errorf("back: %+v, %v", st, err)
	}
}
