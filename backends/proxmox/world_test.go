package proxmox_test

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/backends/internal/owner"
	"github.com/nixvm/nixvm/backends/proxmox"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/internal/paths"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a simulated cluster, and an installation of nixvm that uses it.
type world struct {
	sim           *pvesim.Server
	dir           string
	token         pvesim.Token
	node          string
	poll          time.Duration
	firewallDelay time.Duration
	log           slog.Handler // nil = none
}

func newWorld(t testing.TB, config pvesim.Config) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), token: pvesim.DefaultToken()}
	if len(config.Tokens) > 0 {
		w.token = config.Tokens[0]
	}
	if err := os.WriteFile(filepath.Join(w.dir, "secret"), []byte(w.token.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "disk"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	w.sim = pvesim.Start(t, config)
	return w
}

func (w *world) open(t testing.TB) backends.Backend {
	t.Helper()
	b, err := proxmox.New(proxmox.Config{
		Name: "lab", Layout: paths.Under(w.dir), Log: slog.New(cmp.Or[slog.Handler](w.log, slog.DiscardHandler)),
		API: pve.Config{
			URL: w.sim.URL, TokenID: w.token.ID, Secret: pve.Secret{File: filepath.Join(w.dir, "secret")}.Kept(),
			Trust: pve.Trust{Fingerprint: w.sim.Fingerprint}, Settle: 150 * time.Millisecond,
		},
		Node: w.node, Images: "local", Disks: "thin", Bridge: "vmbr0", Poll: cmp.Or(w.poll, 20*time.Millisecond), FirewallDelay: max(w.firewallDelay, 1),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// opened is open for a test that does not close it.
func (w *world) opened(t testing.TB) backends.Backend {
	b := w.open(t)
	t.Cleanup(func() { b.Close() })
	return b
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

func TestConformance(t *testing.T) {
	w := newWorld(t, pvesim.Config{})
	backendtest.Run(t, backendtest.Harness{Open: w.open, Spec: w.spec, HalfMade: w.halfMade, Limit: time.Minute})
}

// halfMade clones the template as Create does, and leaves it at that.
func (w *world) halfMade(t testing.TB, name string) {
	t.Helper()
	if err := w.api(t).Run(t.Context(), w.cloneOf(t, name), nil); err != nil {
		t.Fatal(err)
	}
}

// cloneOf is the first request of the create of a VM. The image is there.
func (w *world) cloneOf(t testing.TB, name string) pve.Start {
	t.Helper()
	template := w.idOf(t, "nixvm-image-")
	record := fmt.Sprintf(`nixvm-record: {"owner":%q,"uuid":%q,"name":%q,"image":"image"}`, owner.Of(paths.Under(w.dir).State).ID, w.spec(t, name).UUID, name)
	return pve.Start{
		Method: "POST", Path: "/nodes/pve1/qemu/" + template + "/clone", Node: "pve1", Type: "qmclone", ID: template,
		Params: pve.Params{"newid": "900", "name": name, "full": "0", "description": "VM\n" + record},
	}
}
