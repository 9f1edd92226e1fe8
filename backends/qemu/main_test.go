package qemu

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/qemu/netstack"
	"github.com/nixvm/nixvm/backends/qemu/qemulog"
)

// helperEnv makes the test binary a daemon that dies: see dieAt.
const helperEnv = "NIXVM_TEST_DIE_AT"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{netstack.Verb, qemulog.Verb}, os.Args[1]) {
		playCompanion(os.Args[1])
		return
	}
	if point := os.Getenv(helperEnv); point == bridgeHelper {
		if err := playBridgeHelper(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	} else if point != "" {
		dieAt(point)
		return
	}
	goleak.VerifyTestMain(m)
}

// playCompanion is what runs beside a VM's QEMU, which is this program started again.
func playCompanion(verb string) {
	main := netstack.Main
	if verb == qemulog.Verb {
		main = qemulog.Main
	}
	if err := main(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// dieAt is the helper process: it does what the point belongs to, says when the point is
// reached and waits there to be killed.
func dieAt(point string) {
	s := stageAt(os.Getenv("NIXVM_TEST_DIR"))
	b, err := New(Config{Name: "helper", Layout: s.layout, Accel: host.TCG, QemuImg: os.Getenv("NIXVM_TEST_QEMU_IMG")})
	if err == nil {
		b.at = func(reached string) {
			if reached == point {
				fmt.Println(reachedMark)
				select {}
			}
		}
		err = s.doing(point, b)
	}
	fmt.Println("the helper ends:", err)
}

// reachedMark is what the helper prints at the point.
const reachedMark = "reached"

// copying is a point of the helper only: qemu-img is at work, for good.
const copying = "create: the copy is under way"

// copyingClone is the same of a clone of "vm", which must have a snapshot: then
// no file system copies the disk by itself.
const copyingClone = "clone: the copy is under way"

// owning is another one: the backend has adopted the VM that runs.
const owning = "the VM that runs is ours"

func (s stage) doing(point string, b *Backend) error {
	ctx := context.Background()
	spec := s.spec("vm")
	switch point {
	case createFilled:
		return b.Create(ctx, spec, nil)
	case copying:
		spec.Mutable, spec.Image.Format = true, "raw" // a qcow2 might be cloned by the file system
		return b.Create(ctx, spec, nil)
	case copyingClone:
		spec.Name = "copy"
		return b.Clone(ctx, backends.Source{VM: backends.Named("vm")}, spec, nil)
	case startSpawned, startRecorded:
		return b.Start(ctx, spec)
	case snapshotFrozen:
		_, err := b.CreateSnapshot(ctx, backends.Named("vm"), backends.SnapshotRequest{Name: "cut"})
		return err
	case destroyRenamed:
		return b.Destroy(ctx, backends.Named("vm"))
	case owning:
		_, err := b.Status(ctx, backends.Named("vm"))
		b.reached(owning)
		return err
	}
	return fmt.Errorf("no such point: %s", point)
}
