package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/qemu/netstack"
	"github.com/nixvm/nixvm/backends/qemu/qemulog"
	"github.com/nixvm/nixvm/internal/damaged"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// rebuildLimit bounds the reading of two disks' headers and of the processes.
const rebuildLimit = 30 * time.Second

// recordOf reads the record of a VM that the caller owns. A damaged one is made again.
func (b *Backend) recordOf(v *vm) (*record, error) {
	v.recording.Lock()
	defer v.recording.Unlock()
	return b.readOrRebuild(v.name, v.files)
}

// readOnly reads the record for those who change nothing. It is made again only where
// this Backend owns the VM.
func (b *Backend) readOnly(name string) (*record, error) {
	if inst := b.held(name); inst != nil {
		return b.recordOf(inst.v)
	}
	return filesOf(b.layout, name).readRecord()
}

// mend says what a person can do about a VM that cannot be started. Nothing
// here may lead to the loss of a disk that is in order.
func (f vmFiles) mend(err error) string {
	switch {
	case errors.Is(err, errNewer):
		return "use the newer nixvmd"
	case !errors.Is(err, fs.ErrNotExist):
		return "see " + f.dir + ", where the disks of the VM are: nothing of it has been changed"
	}
	if _, merr := f.isMutable(); merr != nil {
		return "restore the file, or move it back to its old path: the VM cannot start without it; " +
			"nixvmd destroy removes what is left of the VM"
	}
	return "the state disk exists and is kept; nixvmd images lists the images; rebuilding the missing one makes the VM start again"
}

// readOrRebuild is recordOf with the record lock held.
func (b *Backend) readOrRebuild(name string, f vmFiles) (*record, error) {
	r, err := f.readRecord()
	if !isDamaged(err) {
		return r, err
	}
	made, lost, merr := b.rebuild(f)
	if merr != nil {
		return nil, errors.Join(err, merr)
	}
	aside, serr := damaged.SetAside(f.path(recordFile))
	if serr != nil {
		return nil, errors.Join(err, serr)
	}
	if werr := f.writeRecord(made); werr != nil {
		return nil, errors.Join(err, werr)
	}
	text := fmt.Sprintf("the file %s of VM %s was missing and has been recreated from its disks", recordFile, name)
	if aside != "" {
		text = fmt.Sprintf("the file %s of VM %s was damaged and has been recreated from its disks; the damaged file is kept as %s", recordFile, name, aside)
	}
	if lost != "" {
		text += "; " + lost
	}
	b.log.Warn("a damaged record was recreated", "vm", name, "damage", err, "kept", aside, "lost", lost)
	b.events.Push(backends.Event{Kind: backends.Repaired, Status: backends.Status{Name: name}, Text: text})
	return made, nil
}

// rebuild makes a record from what else there is: the disks, and the processes if
// the VM runs. lost says what could not be found out.
func (b *Backend) rebuild(f vmFiles) (r *record, lost string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), rebuildLimit)
	defer cancel()
	r = &record{}
	if r.Mutable, err = f.isMutable(); err != nil {
		return nil, "", err
	}
	state, err := b.img.InfoShared(ctx, f.state(r.Mutable))
	if err != nil { // no VM can be made of that
		return nil, "", fmt.Errorf("the state disk cannot be read: %w", err)
	}
	if !r.Mutable {
		// Without it the next start takes the image that the machine names.
		if info, err := b.img.InfoShared(ctx, f.path(bootFile)); err == nil {
			r.Backing = info.Backing
		}
	}
	if pid, line, ok := findQEMU(f); ok {
		r.takeProcess(f, pid, line)
	}
	if len(state.Snapshots) > 0 {
		lost = "the descriptions of its snapshots are lost, but not the snapshots"
	}
	return r, lost, nil
}

// isMutable tells the mode from the disk that is there.
func (f vmFiles) isMutable() (bool, error) {
	_, noVar := os.Stat(f.path(varFile))
	_, noDisk := os.Stat(f.path(diskFile))
	switch {
	case noVar == nil && noDisk == nil:
		return false, fmt.Errorf("both %s and %s exist: one of them does not belong there", varFile, diskFile)
	case noVar == nil:
		return false, nil
	case noDisk == nil:
		return true, nil
	}
	return false, fmt.Errorf("the state disk is missing: %w", noVar)
}

// takeProcess puts a QEMU that was found on record, with the network that serves it.
func (r *record) takeProcess(f vmFiles, pid int, line []string) {
	start, err := startTime(pid)
	if err != nil {
		return
	}
	r.UUID = argument(line, "-uuid")
	for _, device := range arguments(line, "-device") {
		if mac := option(device, "mac"); mac != "" {
			r.MAC = mac
		}
	}
	accel, _, _ := strings.Cut(argument(line, "-accel"), ",")
	// A snapshot may have been in progress: the adopting daemon thaws it.
	r.Run = &run{PID: pid, Start: start, BootID: host.BootID(), Started: startedAt(start), Accel: accel, Frozen: true}
	r.Run.Log = findCompanion(f, qemulog.Verb, logFile)
	if dir, ok := f.socketsBy(pid); ok && !strings.HasPrefix(argument(line, "-netdev"), "socket,") {
		r.Run.Sockets = f.onRecord(dir)
	}
	if strings.HasPrefix(argument(line, "-netdev"), "tap,") {
		r.Run.Bridge = bridgeOf(pid)
		return
	}
	if r.Run.Network = findCompanion(f, netstack.Verb, networkLog); r.Run.Network != nil {
		r.Port = listensOn(r.Run.Network.PID)
	}
}

// Kept tells what the files of a VM say of it; see backends.Keeper.
func (b *Backend) Kept(ctx context.Context, ref backends.Ref) (backends.Kept, error) {
	if err := names.Machine(ref.Name); err != nil {
		return backends.Kept{}, err
	}
	f := filesOf(b.layout, ref.Name)
	r, err := f.readRecord()
	if err != nil {
		if !f.exists() {
			return backends.Kept{}, refusal.NotFound(ref.Name)
		}
		return backends.Kept{}, refusal.Broken(problem.MachineBroken, ref.Name, err)
	}
	if !ref.Is(r.UUID) {
		return backends.Kept{}, refusal.NotFound(ref.Name)
	}
	k := backends.Kept{UUID: r.UUID, MAC: r.MAC, Mutable: r.Mutable, ImageID: r.Image, ImageDisk: r.Backing}
	if info, err := b.img.InfoShared(ctx, f.state(r.Mutable)); err == nil {
		k.DiskBytes = info.VirtualSize
	}
	k.Identity, err = os.ReadFile(f.path(identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return k, err
}
