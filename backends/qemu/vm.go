package qemu

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/ctxlock"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// vm is what this Backend holds of one VM: nothing, the lock during an
// operation, or the lock and a running instance.
type vm struct {
	name  string
	files vmFiles
	op    ctxlock.Mutex // held while a mutating operation runs

	recording sync.Mutex // held while vm.json is read and written

	mu       sync.Mutex // guards the rest
	busy     bool       // an operation runs: it gives the lock back
	lock     *os.File
	inst     *instance
	enders   int                     // how many wait to end the VM
	giveWay  context.CancelCauseFunc // ends the operation's attempt to reach QEMU, while there is one
	attended bool                    // attend runs
}

// errGivesWay ends an attempt to reach a QEMU that is to be ended.
var errGivesWay = errors.New("the VM is being powered off")

// reach bounds an attempt to reach a QEMU that may never answer: it ends at once
// when the VM is to be ended. The holder of the operation calls it.
func (v *vm) reach(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	timed, stop := context.WithTimeoutCause(ctx, limit, errSilent)
	ctx, cancel := context.WithCancelCause(timed)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.enders > 0 {
		cancel(errGivesWay)
	}
	v.giveWay = cancel
	return ctx, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.giveWay = nil
		cancel(context.Canceled)
		stop()
	}
}

// wantEnd makes what tries to reach QEMU give way until done is called.
func (v *vm) wantEnd() (done func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.enders++
	if v.giveWay != nil {
		v.giveWay(errGivesWay)
	}
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.enders--
	}
}

// vm returns the entry of a VM. It does not have to exist on disk.
func (b *Backend) vm(name string) *vm {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.vms[name]
	if v == nil {
		v = &vm{name: name, files: filesOf(b.layout, name)}
		b.vms[name] = v
	}
	return v
}

// held returns the running instance of a VM, or nil.
func (b *Backend) held(name string) *instance {
	b.mu.Lock()
	v := b.vms[name]
	b.mu.Unlock()
	if v == nil {
		return nil
	}
	return v.instance()
}

// is reports whether the VM is the one that is meant.
func (v *vm) is(ref backends.Ref) bool {
	if inst := v.instance(); inst != nil {
		return ref.Is(inst.uuid)
	}
	return v.files.is(ref)
}

// is reports whether the files are those of the VM that is meant. They may be where the
// record is damaged.
func (f vmFiles) is(ref backends.Ref) bool {
	r, err := f.readRecord()
	return err != nil || ref.Is(r.UUID)
}

// instance returns the running instance, or nil.
func (v *vm) instance() *instance {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.inst
}

// begin starts a mutating operation on an existing VM: alone in this process,
// the only owner on this host, and with the running process adopted. The
// caller must call v.finish.
func (b *Backend) begin(ctx context.Context, ref backends.Ref) (*vm, error) {
	v, err := b.hold(ctx, ref)
	if err != nil {
		return nil, err
	}
	if v.instance() != nil {
		return v, nil
	}
	if err := b.adopt(ctx, v); err != nil {
		v.finish()
		if problem.HasCode(err, problem.BackendUnreachable) {
			b.attend(v)
		}
		return nil, err
	}
	return v, nil
}

// hold is begin for what must get through to a process that cannot be adopted.
func (b *Backend) hold(ctx context.Context, ref backends.Ref) (*vm, error) {
	v, err := b.reserve(ctx, ref.Name)
	if err != nil {
		return nil, err
	}
	if !v.files.exists() || !v.is(ref) {
		v.finish()
		return nil, refusal.NotFound(ref.Name)
	}
	if err := v.own(); err != nil {
		v.finish()
		return nil, err
	}
	return v, nil
}

// reserve waits until no other operation of this process runs on the VM.
func (b *Backend) reserve(ctx context.Context, name string) (*vm, error) {
	if err := names.Machine(name); err != nil {
		return nil, err
	}
	v := b.vm(name)
	if err := v.op.Lock(ctx); err != nil {
		return nil, err
	}
	v.mu.Lock()
	v.busy = true
	v.mu.Unlock()
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		v.finish()
		return nil, errClosed
	}
	return v, nil
}

// own takes the lock of the VM's directory unless this Backend has it.
func (v *vm) own() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.lock != nil {
		return nil
	}
	f, err := takeLock(v.files.path(lockFile), v.name)
	if err != nil {
		return err
	}
	v.lock = f
	return nil
}

// finish ends the operation. The lock stays with a running instance.
func (v *vm) finish() {
	v.mu.Lock()
	v.busy = false
	v.disown()
	v.mu.Unlock()
	v.op.Unlock()
}

// disown gives the lock back when nothing needs it. v.mu is held.
func (v *vm) disown() {
	if v.lock != nil && v.inst == nil && !v.busy {
		v.lock.Close()
		v.lock = nil
	}
}

// release is finish and more: the Backend closes, the VM runs on.
func (v *vm) release() {
	if inst := v.instance(); inst != nil {
		inst.stopWatching()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inst = nil
	v.disown()
}
