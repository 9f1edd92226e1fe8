package crashtest

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/all"
	"github.com/nixvm/nixvm/backends/fake"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/vm"
)

// kind is what the VMs of a house are.
type kind struct {
	name string
	real bool // guests boot

	fake *fake.Backend       // of the service that was opened last, unless real
	done func(method string) // called when a fake has carried out a method; nil: nothing is
}

const kindEnv = "NIXVM_TEST_CRASH_KIND"

// The kinds: what a real guest shows, and what the local and the remote fake show in no
// time.
const (
	qemuGuest  = "qemu"
	localFake  = "fake"
	remoteFake = "remote fake"
)

func kindFromEnv() *kind { return kindOf(os.Getenv(kindEnv)) }

func kindOf(name string) *kind { return &kind{name: name, real: name == qemuGuest} }

// fakeSettings are those of the fake in config.toml.
type fakeSettings struct {
	Remote bool `toml:"remote"`
}

// config is config.toml; empty for none.
func (k *kind) config() string {
	if k.real {
		return ""
	}
	text := "default_backend = \"fake\"\n[backends.fake]\ntype = \"fake\"\n"
	if k.name == remoteFake {
		text += "remote = true\n"
	}
	return text
}

// open opens the service of $NIXVM_HOME.
func (k *kind) open(ctx context.Context) (*vm.Service, error) {
	layout, err := paths.FromEnv()
	if err != nil {
		return nil, err
	}
	drivers := all.Drivers()
	if !k.real {
		drivers = []backends.Driver{backends.NewDriver("fake", func(fakeSettings) error { return nil }, k.openFake)}
	}
	return vm.OpenDefault(ctx, layout, "/usr/bin/nixvmd", drivers, slog.New(slog.DiscardHandler))
}

func (k *kind) openFake(site backends.Site, c fakeSettings) (backends.Backend, error) {
	dir := fakeDir(site.Layout)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	o := fake.Config{
		Name: site.Name, Dir: dir, Limit: backends.Limits{VCPUs: 255, MemoryMiB: 1 << 20}, HostKey: fake.HostKeys(site.Layout.Machines()),
		Lost: func(method, _ string) error {
			if k.done != nil {
				k.done(method)
			}
			return nil
		},
	}
	if c.Remote {
		o.Remote = &fake.Remote{Delay: time.Millisecond, Patience: time.Minute}
	}
	k.fake = fake.New(o)
	return k.fake, nil
}

func fakeDir(l paths.Layout) string { return filepath.Join(l.State, "fake") }

// left are the VMs of a house that still exist, according to the backend alone.
func (h *house) left() []string {
	h.t.Helper()
	if h.kind.real {
		return qemuOf(h.t, h.home)
	}
	files, err := filepath.Glob(filepath.Join(fakeDir(paths.Under(h.home)), "*.json"))
	if err != nil {
		h.t.Fatal(err)
	}
	var names []string
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		st, err := h.kind.fake.Status(context.Background(), backends.Named(name))
		if err != nil {
			h.t.Fatal(err)
		}
		if st.State != backends.Absent {
			names = append(names, name)
		}
	}
	return names
}

// write puts a text on the disk of the guest of demo, which is started if need be.
func (h *house) write(s *vm.Service, text string) {
	h.t.Helper()
	if h.kind.real {
		h.guest(s, "demo", "echo "+text+" >file && sync")
		return
	}
	if err := h.kind.fake.Write("demo", text); err != nil {
		h.t.Fatal(err)
	}
}

// read returns it, as a user of the guest of that name reads it.
func (h *house) read(s *vm.Service, name string) string {
	h.t.Helper()
	if h.kind.real {
		return h.guest(s, name, "cat file")
	}
	text, err := h.kind.fake.Content(name)
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

// each runs a test for both fakes.
func each(t *testing.T, test func(t *testing.T, kind string)) {
	for _, kind := range []string{localFake, remoteFake} {
		t.Run(kind, func(t *testing.T) { test(t, kind) })
	}
}
