package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/names"
)

// Destroy ends the process and removes everything. The directory is renamed
// first, so that a crash leaves no VM without its disk, only something to sweep.
func (b *Backend) Destroy(ctx context.Context, ref backends.Ref) error {
	if err := names.Machine(ref.Name); err != nil {
		return err
	}
	v := b.vm(ref.Name)
	if !v.is(ref) {
		return nil // a namesake
	}
	defer v.wantEnd()()
	if inst := v.instance(); inst != nil {
		// Before anything else: an operation may be waiting for it.
		if err := inst.kill(ctx); err != nil {
			return fmt.Errorf("destroy VM %s: %w", ref.Name, err)
		}
	}
	if _, err := b.reserve(ctx, ref.Name); err != nil {
		return err
	}
	defer v.finish()
	if !v.files.exists() {
		return b.removeRest(v)
	}
	if !v.is(ref) {
		return nil // another one has been made meanwhile
	}
	if err := v.own(); err != nil {
		return err
	}
	if err := b.endProcess(ctx, v); err != nil {
		return fmt.Errorf("destroy VM %s: %w", ref.Name, err)
	}
	leaving := b.besides(destroyPrefix, ref.Name)
	if err := errors.Join(os.RemoveAll(leaving), os.Rename(v.files.dir, leaving)); err != nil {
		return fmt.Errorf("destroy VM %s: %w", ref.Name, err)
	}
	if err := atomicfile.SyncDir(b.layout.VMs()); err != nil {
		return err
	}
	b.reached(destroyRenamed)
	if err := b.removeRest(v); err != nil {
		return err
	}
	b.events.Push(backends.Event{Kind: backends.StateChanged, Status: backends.Status{Name: ref.Name, State: backends.Absent}})
	return nil
}

// removeRest removes what may be left besides the VM's own directory.
func (b *Backend) removeRest(v *vm) error {
	return errors.Join(
		os.RemoveAll(v.files.runtime), // where older ones had their sockets
		os.RemoveAll(b.besides(destroyPrefix, v.name)),
		b.removeMaking(v.name),
	)
}

// removeMaking removes an unfinished Create, unless it is still running.
func (b *Backend) removeMaking(name string) error {
	f := vmFiles{dir: b.besides(createPrefix, name)}
	if !f.exists() {
		return nil
	}
	lock, err := takeLock(f.path(lockFile), name)
	if err != nil {
		return err
	}
	defer lock.Close()
	return os.RemoveAll(f.dir)
}

// sweep removes what a crash left of Create and Destroy.
func (b *Backend) sweep() {
	entries, err := os.ReadDir(b.layout.VMs())
	if err != nil {
		b.log.Error("cannot read the VMs", "error", err)
		return
	}
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), createPrefix); ok {
			b.swept(name, b.removeMaking(name))
		} else if name, ok := strings.CutPrefix(e.Name(), destroyPrefix); ok {
			b.swept(name, os.RemoveAll(b.besides(destroyPrefix, name)))
		}
	}
}

func (b *Backend) swept(name string, err error) {
	if err != nil {
		b.log.Warn("cannot remove an unfinished VM", "vm", name, "error", err)
		return
	}
	b.log.Info("removed an unfinished VM", "vm", name)
}
