package qemu_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest/trialguest"
	"github.com/nixvm/nixvm/backends/qemu"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/testproc"
)

// waitLimit ends a hang; boots under emulation on a busy machine take up to a minute.
const waitLimit = 180 * time.Second

// guest is the trial guest, and where its VMs live.
type guest struct {
	*trialguest.Guest
	layout paths.Layout
	log    slog.Handler
}

func newGuest(t testing.TB) *guest {
	t.Helper()
	g := &guest{Guest: trialguest.New(t), log: slog.DiscardHandler}
	dir, err := os.MkdirTemp("", "nixvm-") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	over, err := testproc.Guard(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { over(); os.RemoveAll(dir) })
	g.layout = paths.Under(dir)
	return g
}

func (g *guest) open(t testing.TB) backends.Backend {
	t.Helper()
	b, err := qemu.New(qemu.Config{Name: "conformance", Layout: g.layout, Accel: accel(), Log: slog.New(g.log)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// accel is emulation unless the environment says otherwise: some hosts only pretend to have KVM.
func accel() string {
	if a := os.Getenv("NIXVM_ACCEL"); a != "" {
		return a
	}
	return "tcg"
}

// exec runs a shell command as root. An error comes with the end of the serial
// consoles: the guest is gone when it is read.
func (g *guest) exec(ctx context.Context, e backends.Endpoint, command string) (string, error) {
	out, err := g.Exec(ctx, nil, e, command)
	if err == nil {
		return out, nil
	}
	logs, _ := filepath.Glob(filepath.Join(g.layout.VMs(), "*", "serial.log"))
	for _, l := range logs {
		if text, rerr := os.ReadFile(l); rerr == nil {
			err = fmt.Errorf("%w\n%s:\n%s", err, l, text[max(0, len(text)-3000):])
		}
	}
	return out, err
}
