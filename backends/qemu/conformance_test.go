package qemu_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
)

func TestConformance(t *testing.T) {
	backendtest.Run(t, newGuest(t).harness())
}

func (g *guest) harness() backendtest.Harness {
	return backendtest.Harness{
		Open:    g.open,
		Spec:    func(_ testing.TB, name string) backends.Spec { return g.Spec(name) },
		Renewed: func(_ testing.TB, name string) backends.Identity { return g.Renewed(name) },
		Limit:   waitLimit,
		Exec:    g.exec,
		Murder: func(t testing.TB, s backends.Status) {
			if err := unix.Kill(s.PID, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		},
		HalfMade: func(t testing.TB, name string) {
			dir := g.layout.VM(name)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "var.qcow2"), []byte("QFI"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	}
}
