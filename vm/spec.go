package vm

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/resolvconf"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/vm/inventory"
	"github.com/oklog/ulid/v2"
)

// ref is a VM as calls of its backend name it.
func (s *Service) ref(name string) backends.Ref { return s.inventory.Ref(name) }

// backend returns a configured backend.
func (s *Service) backend(name string) (backends.Backend, error) {
	if name == "" {
		name = s.config.DefaultBackend
	}
	if b := s.backends[name]; b != nil {
		return b, nil
	}
	return nil, problem.New(problem.BackendUnknown, "there is no backend %q", name).
		WithHint("the backends are: %s; add one in %s", strings.Join(slices.Sorted(maps.Keys(s.backends)), ", "), s.layout.ConfigFile())
}

// realised returns the machine and the backend of a VM that exists, for what needs the
// machine's own files. A machine that is only declared is vm.not_found; a broken one
// carries its own problem, once its files have been read again: they may have been
// mended without a word to us.
func (s *Service) realised(name string) (machine.Machine, backends.Backend, error) {
	if err := names.Machine(name); err != nil {
		return machine.Machine{}, nil, err
	}
	e, ok := s.inventory.Get(name)
	if ok && (e.Broken() != nil || e.Machine == nil) {
		s.inventory.Reload(name)
		e, ok = s.inventory.Get(name)
	}
	if !ok {
		return machine.Machine{}, nil, notFound(name)
	}
	var m machine.Machine
	if e.Machine != nil {
		m = *e.Machine
	}
	switch broken := e.Broken(); {
	case broken != nil:
		return m, nil, broken
	case e.Machine == nil && e.Exists():
		return m, nil, s.lostFiles(e)
	case e.Record == nil:
		return m, nil, notCreated(name)
	}
	b, err := s.backend(e.Record.Backend)
	return m, b, err
}

func notCreated(name string) *problem.Error {
	return problem.New(problem.VMNotFound, "machine %s is declared, but its VM has not been created", name).
		WithHint("nixvmd create %s", name)
}

// lostFiles says what is known of a VM whose machine directory is gone, and what can be
// done with it.
func (s *Service) lostFiles(e *inventory.Entry) *problem.Error {
	dir := s.machines.Dir(e.Name)
	if e.Record == nil {
		return problem.New(problem.MachineBroken, "the machine directory and the record of %s are gone; its VM on backend %s is %s", e.Name, e.Host(), e.Status.State).
			WithHint("if there is a copy of %s, restore it and restart nixvmd; nixvmd stop and kill still work, and nixvmd destroy %s --confirm %s removes it with its disks",
				dir, e.Name, e.Name)
	}
	return problem.New(problem.MachineBroken, "the machine directory of %s is gone; its VM on backend %s is %s", e.Name, e.Host(), e.Status.State).
		WithHint("restore %s from a copy; until then ssh, stop, kill and snapshots work, but start does not; nixvmd purge %s --confirm %s removes the VM with its disks",
			dir, e.Name, e.Name)
}

// placed returns what is known of a VM and the backend that has it, for what needs
// nothing of the machine's own files: they may be broken, or gone.
func (s *Service) placed(name string) (*inventory.Entry, backends.Backend, error) {
	if err := names.Machine(name); err != nil {
		return nil, nil, err
	}
	e, ok := s.inventory.Get(name)
	switch {
	case !ok:
		return nil, nil, notFound(name)
	case e.Record != nil:
	case e.Machine != nil && e.Broken() == nil:
		return nil, nil, notCreated(name) // a VM of that name on a backend is another one's
	case e.Host() == "" && e.Broken() != nil:
		return nil, nil, e.Broken()
	case e.Host() == "":
		return nil, nil, notFound(name)
	}
	b, err := s.backend(e.Host())
	return e, b, err
}

// backendOf is placed, of the backend alone.
func (s *Service) backendOf(name string) (backends.Backend, error) {
	_, b, err := s.placed(name)
	return b, err
}

// guestOf is what a connection to a VM needs.
func (s *Service) guestOf(e *inventory.Entry) (inventory.Guest, error) {
	guest, ok := e.Guest()
	switch {
	case ok:
		return guest, nil
	case e.Broken() != nil:
		return guest, e.Broken()
	}
	return guest, s.lostFiles(e)
}

// recordOf returns a copy of the record; nil for a machine without VM.
func (s *Service) recordOf(name string) *inventory.Record {
	if e, ok := s.inventory.Get(name); ok && e.Record != nil {
		r := *e.Record
		return &r
	}
	return nil
}

// specFor builds what the backend needs. The identity medium gets a new
// generation when the identity files have changed since r was written; r is
// updated and must then be stored by the caller. nixvm's own key is on the medium
// whether or not the machine's files have it: the user may have made them.
func (s *Service) specFor(m machine.Machine, r *inventory.Record, img nixbuild.Image) (backends.Spec, error) {
	own, err := s.ssh.PublicKey()
	if err != nil {
		return backends.Spec{}, fmt.Errorf("the client key for %s: %w", m.Name, err)
	}
	m.AdminKeys, m.UserKeys = appendNew(slices.Clone(m.AdminKeys), own), appendNew(slices.Clone(m.UserKeys), own)
	digest, err := machine.Digest(m)
	if err != nil {
		return backends.Spec{}, fmt.Errorf("read the identity of %s: %w", m.Name, err)
	}
	if digest != r.Digest {
		r.Digest = digest
		r.Generation++
	}
	medium, err := machine.Medium(m, r.Generation)
	if err != nil {
		return backends.Spec{}, fmt.Errorf("build the identity medium of %s: %w", m.Name, err)
	}
	// A VM keeps the UUID that it was made with, whatever its machine's file says by now.
	r.UUID = cmp.Or(r.UUID, s.ref(m.Name).UUID, m.UUID)
	spec := backends.Spec{
		Name: m.Name, UUID: r.UUID, MAC: m.MAC, Mutable: r.ModeOf(m) == machine.Mutable,
		MemoryMiB: m.MemoryMiB, VCPUs: m.VCPUs, DiskBytes: m.DiskBytes, Bridge: networkOn(s.backends[r.Backend], m.Network).Bridge,
		Autostart: m.Autostart,
		Image:     imageSpec(img), Identity: medium, Isolation: isolation(m, img, s.images.Profiles()),
		TCPPorts: m.TCPPorts, UDPPorts: m.UDPPorts,
	}
	spec.PCIDevices = devicesOn(s.backends[r.Backend], m)
	spec.VMID = numberOn(s.backends[r.Backend], cmp.Or(r.VMID, m.VMID))
	if m.StaticIP != nil {
		spec.StaticIP = m.StaticIP.Address
	}
	return spec, nil
}

// isolation asks the host for what the agent profiles promise inside the guest.
// It holds as soon as the machine or the image that it still runs has one, and
// when that cannot be told: a profile can be deleted while images have it.
func isolation(m machine.Machine, img nixbuild.Image, known nixbuild.Catalogue) *backends.Isolation {
	if !known.MayHaveAgent(m.Profiles) && !known.MayHaveAgent(img.Profiles) {
		return nil
	}
	return &backends.Isolation{AllowedCIDRs: m.AllowedCIDRs, Resolvers: resolvconf.Nameservers(m.ResolvConf)}
}

// imageSpec is what an image offers a backend, which decides how the VM boots.
func imageSpec(img nixbuild.Image) backends.Image {
	return backends.Image{
		ID: img.ID, Disk: img.DiskPath(), Format: img.Disk.Format,
		Kernel: img.KernelPath(), Initrd: img.InitrdPath(), Cmdline: img.Cmdline, NoBootLoader: img.NoBootLoader,
	}
}

// specOf is specFor of a VM that exists; nothing is stored.
func (s *Service) specOf(name string) (backends.Spec, error) {
	m, _, err := s.realised(name)
	if err != nil {
		return backends.Spec{}, err
	}
	r := s.recordOf(name)
	img, err := s.images.Get(r.Image.ID)
	if err != nil {
		return backends.Spec{}, s.imageMissing(m, r, err)
	}
	return s.specFor(m, r, img)
}

// startVM boots a VM with its machine directory as it is now.
func (s *Service) startVM(ctx context.Context, name string) error {
	m, b, err := s.realised(name)
	if err != nil {
		return err
	}
	spec, err := s.bootSpec(name, m)
	if err != nil {
		return err
	}
	if err := b.Start(ctx, spec); err != nil {
		return err
	}
	return s.inventory.Refresh(ctx, b, name)
}

// bootSpec is what a VM boots with: its machine directory as it is now, which is noted as
// what the VM has, and the image of its record.
func (s *Service) bootSpec(name string, m machine.Machine) (backends.Spec, error) {
	r := s.recordOf(name)
	img, err := s.images.Get(r.Image.ID)
	if err != nil {
		return backends.Spec{}, s.imageMissing(m, r, err)
	}
	spec, err := s.specFor(m, r, img)
	if err != nil {
		return spec, err
	}
	return spec, s.noteIdentity(name, m, *r)
}

// noteIdentity keeps in the record which identity a VM is about to be started with. A
// guest that runs has the one that it was started with, and is left alone.
func (s *Service) noteIdentity(name string, m machine.Machine, r inventory.Record) error {
	e, ok := s.inventory.Get(name)
	if !ok || inventory.Alive(e.Status.State) {
		return nil
	}
	digests, with := machine.FileDigests(m), inventory.ResourcesOf(m)
	old := e.Record
	if old != nil && old.Identity != nil && m.Mode == machine.Mutable {
		digests = old.Identity // it has taken them once, at its first boot
	}
	if old != nil && old.Generation == r.Generation && old.UUID == r.UUID && len(old.AtBoot) == 0 && !old.DiskAtBoot && maps.Equal(old.Identity, digests) && old.Started != nil && *old.Started == with {
		return nil
	}
	return problem.Disk(s.inventory.UpdateRecord(name, func(now *inventory.Record) {
		now.UUID = r.UUID
		now.Generation, now.Digest, now.Identity, now.AtBoot, now.Started = r.Generation, r.Digest, digests, nil, &with
		now.DiskAtBoot = false
	}))
}

// networkOn is the network of a machine on a backend, which may be nil: the one that
// the machine names, or the backend's own.
func networkOn(b backends.Backend, n machine.Network) machine.Network {
	if n.Kind != "" {
		return n
	}
	if bridge := backends.DefaultNetworkOf(b).Bridge(); bridge != "" {
		return machine.Network{Kind: "bridge", Bridge: bridge}
	}
	return machine.Network{Kind: "nat"}
}

// newInstance names a VM that is about to be made. The name of its machine, and
// even the UUID in the machine directory, may be those of one that is gone.
func newInstance() string { return ulid.Make().String() }

// instanceOf is the VM that a machine has now; empty for none.
func (s *Service) instanceOf(machine string) string {
	if r := s.recordOf(machine); r != nil {
		return r.InstanceID()
	}
	return ""
}
