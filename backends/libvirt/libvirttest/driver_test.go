package libvirttest_test

import (
	"os"
	"path/filepath"
	"testing"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
	"github.com/google/uuid"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/internal/paths"
)

// The whole backend in seconds: libvirtd, its domains, events, metadata and
// snapshots are real, only QEMU is not there.
func TestConformanceOfTheTestDriver(t *testing.T) {
	h := libvirttest.Start(t)
	holdTestDriver(t, h)
	layout := paths.Under(filepath.Join(h.Dir, "nixvm"))
	image := backends.Image{ID: "blank", Disk: filepath.Join(h.Dir, "blank.raw"), Format: "raw"}
	if err := os.WriteFile(image.Disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	backendtest.Run(t, backendtest.Harness{
		NoGuest: true,
		Open: func(t testing.TB) backends.Backend {
			b, err := libvirt.New(libvirt.Config{Name: "test", Layout: layout, URI: "test:///default?socket=" + h.Socket})
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		Spec: func(_ testing.TB, name string) backends.Spec {
			id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(name))
			return backends.Spec{
				Name: name, UUID: id.String(), MAC: "52:54:00:00:00:01", MemoryMiB: 64, VCPUs: 1,
				DiskBytes: 16 << 20, Image: image, Identity: make([]byte, 2048),
			}
		},
		Debris: func(t testing.TB, name string) {
			if err := os.MkdirAll(filepath.Join(layout.Libvirt("test"), name), 0o700); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// holdTestDriver stays connected: the driver forgets all domains with its last client.
func holdTestDriver(t *testing.T, h *libvirttest.Host) {
	t.Helper()
	l := golibvirt.NewWithDialer(dialers.NewLocal(dialers.WithSocket(h.Socket)))
	if err := l.ConnectToURI(golibvirt.TestDefault); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Disconnect() })
}
