package vm

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

const (
	usualDisk  = int64(20 << 30)
	largerDisk = int64(64 << 30)
)

// sizes checks the disk of a VM, and what of it the guest uses.
func (h house) sizes(t *testing.T, name string, disk, fileSystem int64) {
	t.Helper()
	d, f, err := h.fake.Sizes(name)
	if err != nil || d != disk || f != fileSystem {
		t.Errorf("the disk of %s has %d bytes, its file system %d, want %d and %d; %v", name, d, f, disk, fileSystem, err)
	}
}

func TestTheDiskOfARunningVMGrowsWithItsFileSystem(t *testing.T) {
	h := open(t, t.TempDir(), applies, nil, nil)
	h.create(t, "demo")
	h.sizes(t, "demo", usualDisk, usualDisk)
	// With something of the identity, in the same operation.
	op := h.configure(t, api.ConfigureParams{Name: "demo", DiskBytes: new(largerDisk), TCPPorts: []uint16{4711}})
	if op.State != api.OpSucceeded || len(op.Warnings) > 0 {
		t.Errorf("%+v", op)
	}
	h.sizes(t, "demo", largerDisk, largerDisk)
	h.waits(t, "demo")
	if !strings.Contains(h.medium(t, "demo"), "4711\n") {
		t.Error("the guest does not have the port")
	}
	// Nothing is left to do, also not after a start; back is no way.
	if v, err := h.Configure(background, api.ConfigureParams{Name: "demo", DiskBytes: new(largerDisk)}, "t"); err != nil || v.Operation != nil {
		t.Errorf("%+v, %v", v.Operation, err)
	}
	if _, err := h.Configure(background, api.ConfigureParams{Name: "demo", DiskBytes: new(usualDisk)}, "t"); !problem.HasCode(err, problem.SizeInvalid) {
		t.Errorf("a smaller disk: %v", err)
	}
	op, err := h.Reboot(background, "demo", "t")
	h.succeed(t, op, err)
	h.sizes(t, "demo", largerDisk, largerDisk)
}

// The guest of a mutable machine owns its identity; its disk is the host's.
func TestTheDiskOfAMutableVMGrowsWhileItRuns(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	op, err := h.Create(background, api.CreateParams{Name: "demo", Mode: "mutable", Image: "trial"})
	h.succeed(t, op, err)
	h.configure(t, api.ConfigureParams{Name: "demo", DiskBytes: new(largerDisk)})
	h.sizes(t, "demo", largerDisk, largerDisk)
}

func TestADiskWithoutItsGuestIsFilledAtTheNextBoot(t *testing.T) {
	for what, prepare := range map[string]func(house){
		"the guest does not do it":  func(house) {},
		"the backend cannot ask it": func(h house) { h.fake.Hide((*backends.FileSystemGrower)(nil), true) },
	} {
		h := open(t, t.TempDir(), applies, func(method, _ string) error {
			if method == "fill-disk" {
				return backends.NotFilled("demo", "there is no such program")
			}
			return nil
		}, nil)
		prepare(h)
		h.create(t, "demo")
		op := h.configure(t, api.ConfigureParams{Name: "demo", DiskBytes: new(largerDisk)})
		if op.State != api.OpSucceeded || len(op.Warnings) != 1 || !strings.Contains(op.Warnings[0], "next boot") {
			t.Errorf("%s: %+v", what, op)
		}
		h.sizes(t, "demo", largerDisk, usualDisk)
		h.waits(t, "demo", "diskBytes")
		if err := h.fake.Reboot("demo"); err != nil { // the guest's own wish
			t.Fatal(err)
		}
		h.until(t, "demo", "the guest uses its disk", func(v VM) bool { return len(v.NextStart) == 0 })
	}
}

// What has not been reached waits for the next start, whatever it was that failed.
func TestADiskThatDoesNotGrowWaitsForTheNextStart(t *testing.T) {
	fails := true
	h := open(t, t.TempDir(), applies, func(method, _ string) error {
		if method == "grow" && fails {
			return errors.New("no")
		}
		return nil
	}, nil)
	h.create(t, "demo")
	v, err := h.Configure(background, api.ConfigureParams{Name: "demo", DiskBytes: new(largerDisk), TCPPorts: []uint16{4711}}, "t")
	if err != nil || v.Operation == nil {
		t.Fatalf("%+v, %v", v, err)
	}
	if op := h.do(t, *v.Operation, nil); op.State != api.OpFailed {
		t.Errorf("%+v", op)
	}
	h.sizes(t, "demo", usualDisk, usualDisk)
	h.waits(t, "demo", "diskBytes") // and the port is there
	fails = false
	op, err := h.Reboot(background, "demo", "t")
	h.succeed(t, op, err)
	h.sizes(t, "demo", largerDisk, largerDisk)
	h.waits(t, "demo")
}

func TestAGrowingDiskGivesWayToKillAndCancel(t *testing.T) {
	for what, end := range map[string]func(h house, id string) error{
		"cancel": func(h house, id string) error { return h.Cancel(id) },
		"kill": func(h house, _ string) error {
			op, err := h.Kill(background, "demo", "t")
			if err == nil {
				_, err = h.Wait(background, op.ID)
			}
			return err
		},
	} {
		h := open(t, t.TempDir(), applies, nil, nil)
		h.create(t, "demo")
		held := make(chan struct{})
		h.fake.HoldGrowth(func(ctx context.Context) {
			close(held)
			<-ctx.Done()
		})
		v, err := h.Configure(background, api.ConfigureParams{Name: "demo", DiskBytes: new(largerDisk)}, "t")
		if err != nil || v.Operation == nil {
			t.Fatalf("%+v, %v", v, err)
		}
		<-held
		if err := end(h, v.Operation.ID); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		_, _ = h.Wait(background, v.Operation.ID)
		h.fake.HoldGrowth(nil)
		if op, _ := h.Operation(v.Operation.ID); op.State != api.OpCancelled {
			t.Errorf("%s: %+v", what, op)
		}
		h.sizes(t, "demo", usualDisk, usualDisk)
		if m, err := h.machines.Read("demo"); err != nil || m.DiskBytes != largerDisk {
			t.Errorf("%s: the machine asks for %s, %v", what, machine.FormatSize(m.DiskBytes), err)
		}
	}
}
