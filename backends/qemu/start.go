package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/boot"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/uefi"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

const (
	// greeting is how long QEMU may take until its monitor answers. Mapping the
	// memory and opening the disks takes some 30 ms; a busy host takes longer.
	greeting = 60 * time.Second
	// portAttempts bounds the search when ports are taken under our hands.
	portAttempts = 8
)

// Start prepares the disks for spec, starts QEMU paused, puts the process on
// record and lets the virtual CPUs go.
func (b *Backend) Start(ctx context.Context, spec backends.Spec) error {
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	v, err := b.begin(ctx, spec.Ref())
	if err != nil {
		return err
	}
	defer v.finish()
	if v.instance() != nil {
		return nil
	}
	r, err := b.recordOf(v)
	if err == nil {
		err = v.files.complete(r)
	}
	if err != nil {
		return refusal.Broken(problem.VMStartFailed, spec.Name, err).WithHint("%s", v.files.mend(err))
	}
	passed, release, err := b.claim(spec)
	if err != nil {
		return fmt.Errorf("start VM %s: %w", spec.Name, err)
	}
	defer release()
	l, err := b.prepare(ctx, v.files, r, spec)
	if err != nil {
		return fmt.Errorf("start VM %s: %w", spec.Name, err)
	}
	l.passed = passed
	if err := b.launch(ctx, v, r, l); err != nil {
		return fmt.Errorf("start VM %s: %w", spec.Name, err)
	}
	return nil
}

// prepare brings everything that QEMU opens into the state that spec asks for.
func (b *Backend) prepare(ctx context.Context, f vmFiles, r *record, spec backends.Spec) (launch, error) {
	if r.Mutable != spec.Mutable {
		return launch{}, refusal.OtherMode(spec.Name, "recreate it to change the mode")
	}
	var err error
	if spec.Image, err = boot.Choose(spec); err != nil {
		return launch{}, err
	}
	l := launch{spec: spec, files: f}
	if err := checkNetwork(spec); err != nil {
		return l, err
	}
	if err := b.Limits(ctx).Check(spec); err != nil {
		return l, err
	}
	if err := b.grow(ctx, f.state(r.Mutable), spec.DiskBytes); err != nil {
		return l, err
	}
	if err := atomicfile.Write(f.path(identityFile), spec.Identity, 0o600); err != nil {
		return l, refusal.DiskFull(err)
	}
	if !r.Mutable {
		if err := b.freshBoot(ctx, f, spec.Image); err != nil {
			return l, err
		}
	}
	if spec.Image.Kernel == "" {
		if err := b.prepareFirmware(f, r.Mutable, &l); err != nil {
			return l, err
		}
	}
	l.accel, err = b.accel.Choose(ctx, spec.Image)
	return l, err
}

// grow makes the state disk larger if spec says so.
func (b *Backend) grow(ctx context.Context, disk string, bytes int64) error {
	info, err := b.img.Info(ctx, disk, "qcow2")
	if err != nil {
		return problem.New(problem.VMStartFailed, "the state disk cannot be read: %w", err)
	}
	return b.img.Grow(ctx, disk, info.VirtualSize, bytes)
}

// freshBoot replaces the boot overlay: what a guest wrote to its boot disk ends
// with the run, and a new image takes effect.
func (b *Backend) freshBoot(ctx context.Context, f vmFiles, image backends.Image) error {
	next := f.path(bootFile + ".new")
	if err := b.img.Overlay(ctx, next, image.Disk, image.Format); err != nil {
		return errors.Join(err, atomicfile.Remove(next))
	}
	return os.Rename(next, f.path(bootFile))
}

// prepareFirmware copies the template of the variables: at every start for an
// immutable VM, once for a mutable one, which owns them.
func (b *Backend) prepareFirmware(f vmFiles, mutable bool, l *launch) error {
	fw, err := b.findFirmware()
	if err != nil {
		return err
	}
	l.firmware = Firmware{Code: fw.Code, Vars: f.path(varsFile)}
	if _, err := os.Stat(l.firmware.Vars); err == nil && mutable {
		return nil
	}
	made, err := uefi.CopyVariables(fw.Vars, l.firmware.Vars)
	if err == nil && !made {
		err = fmt.Errorf("the template of UEFI variables %s cannot be read", fw.Vars)
	}
	return err
}

// launch starts QEMU, on another port as long as the port is the problem.
func (b *Backend) launch(ctx context.Context, v *vm, r *record, l launch) error {
	refused := map[int]bool{}
	for range portAttempts {
		if err := b.pickPort(r, &l, refused); err != nil {
			return err
		}
		err := b.launchOnce(ctx, v, l)
		if err == nil || ctx.Err() != nil || l.spec.Bridge != "" || backends.PortFree(l.port) {
			return err
		}
		b.log.Info("the port is in use", "vm", v.name, "port", l.port)
		refused[l.port] = true
	}
	return problem.New(problem.PortTaken, "all tried ports are in use").Retry()
}

// pickPort sets l.port: the fixed one, else the one on record, else a new one.
func (b *Backend) pickPort(r *record, l *launch, refused map[int]bool) error {
	if l.spec.Bridge != "" {
		return nil
	}
	var err error
	l.port, err = backends.PickPort(l.spec.Name, r.Port, refused, b.recordedPorts(l.spec.Name))
	return err
}

// launchOnce is one attempt. On error no process is left.
func (b *Backend) launchOnce(ctx context.Context, v *vm, l launch) error {
	dir, listening, err := v.files.listenAll()
	defer closeAll(listening)
	if err != nil {
		return err
	}
	l.sockets = dir
	port, tap, err := b.uplink(ctx, l)
	if err != nil {
		return err
	}
	inherited := listening
	if tap != nil {
		defer tap.Close()
		inherited = append(inherited, tap)
	} else {
		defer port.Close()
	}
	proc, err := b.spawn(ctx, v.files, l, inherited)
	if err != nil {
		return err
	}
	reach, done := v.reach(ctx, greeting+l.pinning())
	defer done()
	inst, net, err := b.greet(reach, v, l, proc, port)
	if err != nil {
		return err
	}
	defer net.close()
	if reach.Err() != nil { // the code that ends the VM finds it now
		return errors.Join(context.Cause(reach), inst.kill(ctx))
	}
	b.reached(startSpawned)
	if err := b.recordStart(v.name, inst.run, l); err != nil {
		return errors.Join(err, inst.kill(ctx))
	}
	b.reached(startRecorded)
	if err := net.recorded(); err != nil {
		return errors.Join(err, inst.kill(ctx))
	}
	return b.letRun(ctx, inst)
}

// greet joins a QEMU that was just started, and starts its network beside it. On
// error no process is left.
func (b *Backend) greet(ctx context.Context, v *vm, l launch, proc *process, port *os.File) (*instance, *network, error) {
	this := run{
		PID: proc.pid, Start: proc.start, BootID: host.BootID(), Started: time.Now().UTC(),
		Accel: l.accel, Bridge: l.spec.Bridge, Groups: groupsOf(l.passed), Log: proc.log.onRecord(), Sockets: v.files.onRecord(l.sockets),
	}
	inst, err := b.connect(ctx, v, l.spec.UUID, proc, this)
	if err != nil {
		canceled := ctx.Err() != nil && !errors.Is(context.Cause(ctx), errSilent)
		if err = errors.Join(err, killAndWait(ctx, proc)); canceled {
			return nil, nil, err
		}
		return nil, nil, problem.New(problem.VMStartFailed, "QEMU did not start: %s", lastWords(v.files, logFile, backends.OneLine(err.Error()))).
			WithHint("see %s", v.files.path(logFile))
	}
	var net *network
	if port != nil {
		if net, err = startNetwork(v.files, l.sockets, v.name, proc, port); err == nil {
			if err = net.await(ctx); err != nil {
				err = errors.Join(err, net.end(ctx))
				net.close()
			}
		}
	}
	if err != nil {
		inst.drop()
		return nil, nil, errors.Join(err, killAndWait(ctx, proc))
	}
	inst.run.Network = net.process().onRecord()
	inst.hold(net.process())
	return inst, net, nil
}

// recordStart puts a process on record before it does anything.
func (b *Backend) recordStart(name string, this run, l launch) error {
	return b.update(name, func(r *record) {
		r.Run, r.End = &this, nil
		r.UUID, r.MAC, r.Image, r.Backing = l.spec.UUID, l.spec.MAC, l.spec.Image.ID, l.spec.Image.Disk
		if l.port != 0 {
			r.Port = l.port
		}
	})
}

// letRun lets the virtual CPUs go.
func (b *Backend) letRun(ctx context.Context, inst *instance) error {
	inst.goLive()
	err := inst.command(ctx, "cont", nil, nil)
	if err == nil {
		err = inst.untilIn(ctx, func() bool { return inst.state == backends.Running })
	}
	if err != nil {
		return errors.Join(fmt.Errorf("start the virtual CPUs: %w", err), inst.kill(ctx))
	}
	inst.log().Info("VM started", "accel", inst.run.Accel)
	return nil
}
