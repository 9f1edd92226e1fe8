package libvirt_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
)

func TestConformanceOfTheSystem(t *testing.T) {
	h := libvirttest.Start(t)
	h.StartDefaultNetwork(t)
	backendtest.Run(t, newHost(t, h).harness())
}

// The whole suite in a session, and with a pool: TestLong...
func TestConformanceOfASession(t *testing.T) {
	backendtest.RunShort(t, newHost(t, libvirttest.StartSession(t)).harness())
}

func TestConformanceOfDisksInAPool(t *testing.T) {
	h := empty(t)
	h.config.Pool = "nixvm"
	backendtest.RunDisks(t, backendtest.Harness{
		Open: h.open, Limit: waitLimit,
		Spec: func(_ testing.TB, name string) backends.Spec { return h.vm(name) },
	})
}

func (h *host) harness() backendtest.Harness {
	return backendtest.Harness{
		Open:    h.open,
		Spec:    func(_ testing.TB, name string) backends.Spec { return h.spec(name) },
		Renewed: func(_ testing.TB, name string) backends.Identity { return h.guest.Renewed(name) },
		Limit:   waitLimit,
		Exec:    h.exec,
		Murder: func(t testing.TB, s backends.Status) {
			h.KillGuest(t, s.Name)
		},
		Autostart: func(t testing.TB, name string) bool {
			return slices.Contains(strings.Fields(h.Virsh(t, "list", "--all", "--autostart", "--name")), name)
		},
		HalfMade: func(t testing.TB, name string) {
			dir := filepath.Join(h.layout.Libvirt(backendName), name)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "state.qcow2"), []byte("QFI"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	}
}
