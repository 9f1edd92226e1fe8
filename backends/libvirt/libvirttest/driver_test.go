package libvirttest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
	"github.com/google/uuid"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

// The whole backend in seconds: libvirtd, its domains, events, metadata and
// snapshots are real, only QEMU is not there.
func TestConformanceOfTheTestDriver(t *testing.T) {
	d := startDriver(t)
	backendtest.Run(t, backendtest.Harness{
		NoGuest: true,
		Open:    func(t testing.TB) backends.Backend { return d.open(t) },
		Spec:    func(_ testing.TB, name string) backends.Spec { return d.spec(name) },
		Debris: func(t testing.TB, name string) {
			if err := os.MkdirAll(filepath.Join(d.layout.Libvirt("test"), name), 0o700); err != nil {
				t.Fatal(err)
			}
		},
	})
}

func TestTheNameOfSomebodysDomainIsInNoCommand(t *testing.T) {
	d := startDriver(t)
	spec := d.spec("demo")
	if _, err := d.held.DomainDefineXML(`<domain type='test'><name>x; touch owned</name><uuid>` + spec.UUID + `</uuid>
<memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>`); err != nil {
		t.Fatal(err)
	}
	b := d.open(t)
	defer b.Close()
	err := b.Create(t.Context(), spec, nil)
	if hint := problem.From(err).Hint; !problem.HasCode(err, problem.VMExists) || strings.Contains(hint, "touch") || !strings.Contains(hint, "undefine "+spec.UUID) {
		t.Errorf("%v, hint: %s", err, hint)
	}
}

// driver is the test driver of a libvirtd.
type driver struct {
	*libvirttest.Host
	layout paths.Layout
	image  backends.Image
	held   *golibvirt.Libvirt // stays connected: the driver forgets all domains with its last client
}

func startDriver(t *testing.T) driver {
	t.Helper()
	d := driver{Host: libvirttest.Start(t)}
	d.layout = paths.Under(filepath.Join(d.Dir, "nixvm"))
	d.image = backends.Image{ID: "blank", Disk: filepath.Join(d.Dir, "blank.raw"), Format: "raw"}
	if err := os.WriteFile(d.image.Disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	d.held = golibvirt.NewWithDialer(dialers.NewLocal(dialers.WithSocket(d.Socket)))
	if err := d.held.ConnectToURI(golibvirt.TestDefault); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.held.Disconnect() })
	return d
}

func (d driver) open(t testing.TB) *libvirt.Backend {
	t.Helper()
	b, err := libvirt.New(libvirt.Config{Name: "test", Layout: d.layout, URI: "test:///default?socket=" + d.Socket})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (d driver) spec(name string) backends.Spec {
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(name))
	return backends.Spec{
		Name: name, UUID: id.String(), MAC: "52:54:00:00:00:01", MemoryMiB: 64, VCPUs: 1,
		DiskBytes: 16 << 20, Image: d.image, Identity: make([]byte, 2048),
	}
}
