package libvirt_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest/trialguest"
	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/internal/paths"
)

// waitLimit ends a hang; boots under emulation on a busy machine take up to a minute.
const waitLimit = 180 * time.Second

const backendName = "conformance"

// go-libvirt leaves the two ends of an upload behind that was cut off.
func TestMain(m *testing.M) {
	if file := os.Getenv(childVariable); file != "" {
		if err := migrateAndDie(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/digitalocean/go-libvirt.(*Libvirt).requestStream"),
		goleak.IgnoreTopFunction("github.com/digitalocean/go-libvirt.(*Libvirt).requestStream.func2"))
}

// host is a libvirtd with the trial guest and a place for its disks.
type host struct {
	*libvirttest.Host
	guest  *trialguest.Guest
	image  backends.Image
	layout paths.Layout
	log    slog.Handler
	config libvirt.Config // of the backend, as far as a test wants it otherwise
}

func newHost(t testing.TB, h *libvirttest.Host) *host {
	t.Helper()
	host := &host{Host: h, guest: trialguest.New(t), layout: paths.Under(filepath.Join(h.Dir, "nixvm")), log: slog.DiscardHandler}
	if os.Getenv("NIXVM_TEST_LOG") != "" {
		host.log = slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})
	}
	host.prepare(t)
	host.image = host.guest.Spec("image").Image
	// A copy: the cache of images is closed to QEMU's user.
	for _, file := range []*string{&host.image.Disk, &host.image.Kernel, &host.image.Initrd} {
		*file = copyTo(t, *file, h.Dir+"/image")
	}
	return host
}

// prepare makes directories that QEMU's user, who is not the test's, passes through.
func (h *host) prepare(t testing.TB) {
	t.Helper()
	root := filepath.Dir(h.layout.State)
	for _, dir := range []string{root, h.layout.State, filepath.Dir(h.layout.Libvirt("x")), h.layout.Libvirt(backendName), h.Dir + "/image"} {
		if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // see above
			t.Fatal(err)
		}
	}
}

func copyTo(t testing.TB, from, dir string) string {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	to := filepath.Join(dir, filepath.Base(from))
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // QEMU's user reads it
	if err == nil {
		_, err = io.Copy(dst, src)
	}
	if err == nil {
		err = dst.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func (h *host) open(t testing.TB) backends.Backend { return h.openWith(t, h.config) }

func (h *host) openWith(t testing.TB, c libvirt.Config) *libvirt.Backend {
	t.Helper()
	c.Name, c.Layout, c.Log, c.Accel = backendName, h.layout, slog.New(h.log), "tcg"
	if c.URI == "" {
		c.URI = h.URI
	}
	b, err := libvirt.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (h *host) spec(name string) backends.Spec {
	s := h.guest.Spec(name)
	s.Image = h.image
	return s
}

// exec runs a shell command as root in the guest.
func (h *host) exec(ctx context.Context, e backends.Endpoint, command string) (string, error) {
	return h.guest.Exec(ctx, h.Dial, e, command)
}
