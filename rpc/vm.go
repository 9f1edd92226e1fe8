package rpc

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

// CreateParams asks for a machine and its VM. Absent fields take the defaults of
// config.toml, or, for a machine that is declared already, its files.
type CreateParams struct {
	Work
	// Name of the new machine, a DNS label of at most 63 characters.
	Name string `json:"name"`
	// Profiles of the image.
	Profiles []string `json:"profiles,omitempty"`
	// Image is "nixos", "trial", the absolute path of an image file, or the URL of
	// a disk (http, https, file) with its checksum: URL#sha256=HEX.
	Image string `json:"image,omitempty"`
	// Mode is "immutable", "semi-mutable" or "mutable".
	Mode string `json:"mode,omitempty"`
	// MemoryMiB is the memory in MiB.
	MemoryMiB *int `json:"memoryMiB,omitempty"`
	// VCPUs is the number of virtual CPUs.
	VCPUs *int `json:"vcpus,omitempty"`
	// DiskBytes is the virtual size of the state disk in bytes.
	DiskBytes *int64 `json:"diskBytes,omitempty"`
	// Autostart: the VM starts with the host of its backend, if that has the
	// capability. Absent: what config.toml says of the backend.
	Autostart *bool `json:"autostart,omitempty"`
	// Network is "nat" or "bridge:<interface>".
	Network string `json:"network,omitempty"`
	// Backend is the name of a configured backend.
	Backend string `json:"backend,omitempty"`
	// AuthorizedKeys are SSH public keys for both accounts, besides nixvm's own.
	AuthorizedKeys []string `json:"authorizedKeys,omitempty"`
	// AllowedCIDRs are exceptions to the private-network block.
	AllowedCIDRs []string `json:"allowedCidrs,omitempty"`
	// TCPPorts to open in the guest's firewall.
	TCPPorts []uint16 `json:"tcpPorts,omitempty"`
	// RemoteForwards, each as after RemoteForward in ssh_config(5).
	RemoteForwards []string `json:"remoteForwards,omitempty"`
	// NoStart makes the VM without booting it.
	NoStart bool `json:"noStart,omitempty"`
}

// Validate implements params.
func (p CreateParams) Validate() error {
	return firstError(firstOf(p.fields()), p.Work.Validate())
}

// fields checks the form of each.
func (p CreateParams) fields() []fieldCheck {
	return []fieldCheck{
		{"name", checkName(p.Name)},
		{"profiles", checkWords("profiles", p.Profiles)},
		{"image", checkLine("image", p.Image)},
		{"mode", checkLine("mode", p.Mode)},
		{"memoryMiB", checkPositive("memoryMiB", p.MemoryMiB)},
		{"vcpus", checkPositive("vcpus", p.VCPUs)},
		{"diskBytes", checkPositive("diskBytes", p.DiskBytes)},
		{"network", checkLine("network", p.Network)},
		{"backend", checkLine("backend", p.Backend)},
		{"authorizedKeys", checkLines("authorizedKeys", p.AuthorizedKeys)},
		{"allowedCidrs", checkCIDRs("allowedCidrs", p.AllowedCIDRs)},
		{"tcpPorts", checkPorts("tcpPorts", p.TCPPorts)},
		{"remoteForwards", checkLines("remoteForwards", p.RemoteForwards)},
	}
}

// VMParams names the machine whose VM is meant.
type VMParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
}

// Validate implements params.
func (p VMParams) Validate() error { return firstError(checkName(p.Name), p.Work.Validate()) }

// StopParams asks the guest to power off.
type StopParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// TimeoutSeconds to wait for the guest; absent = the daemon's default.
	TimeoutSeconds *int `json:"timeoutSeconds,omitempty"`
}

// Validate implements params.
func (p StopParams) Validate() error {
	return firstError(checkName(p.Name), checkPositive("timeoutSeconds", p.TimeoutSeconds),
		checkAtMost("timeoutSeconds", p.TimeoutSeconds, 24*3600), p.Work.Validate())
}

// MigrateParams names a VM and where it is to go.
type MigrateParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// Backend that it goes to, as configured.
	Backend string `json:"backend"`
}

// Validate implements params.
func (p MigrateParams) Validate() error {
	return firstError(checkName(p.Name), checkRequired("backend", p.Backend), checkLine("backend", p.Backend), p.Work.Validate())
}

// ConfirmParams names a machine twice, because what it asks for cannot be undone.
type ConfirmParams struct {
	Work
	// Name of the machine.
	Name string `json:"name"`
	// Confirm repeats the name.
	Confirm string `json:"confirm"`
}

// Validate implements params.
func (p ConfirmParams) Validate() error {
	return firstError(checkName(p.Name), checkConfirm(p.Name, p.Confirm), p.Work.Validate())
}

// ConsoleParams asks for a console.
type ConsoleParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
	// Raw: the guest's bytes as they are. Without it, only what a terminal is for
	// passes: text, colours, the cursor; no titles, no clipboard, no queries.
	Raw bool `json:"raw,omitempty"`
}

// Validate implements params.
func (p ConsoleParams) Validate() error { return checkName(p.Name) }

// ConsoleResult says where the console is.
type ConsoleResult struct {
	// Socket is the path of a unix socket that accepts one connection of this
	// user, within 30 seconds, and carries the bytes of the serial console.
	Socket string `json:"socket"`
}

func vmMethods() []Method {
	type named = func(ctx context.Context, name, client string) (api.Operation, error)
	verb := func(name, doc string, call func(Core) named, errors ...problem.Code) Method {
		return operation(name, doc,
			func(ctx context.Context, s *session, p VMParams) (api.Operation, error) {
				return call(s.srv.core)(ctx, p.Name, s.who())
			}, append(errors, problem.VMNotFound, problem.VMBusy, problem.BackendUnreachable)...)
	}
	return []Method{
		operation(MethodVMCreate, "Declare a machine if it is not declared yet, make its VM, boot it and wait until sshd answers. Cancelling leaves nothing behind.",
			createVM, problem.MachineNameInvalid, problem.MachineExists, problem.VMExists, problem.ProfileUnknown, problem.ProfileConflict, problem.BackendUnknown,
			problem.ModeUnsupported, problem.Unsupported, problem.SizeInvalid, problem.ImageNotFound, problem.ImageBuildFailed, problem.DiskFull, problem.SSHNameTaken, problem.VMBusy),
		cloneMethod(),
		verb(MethodVMStart, "Boot the VM and wait until sshd answers. A running VM is left alone.",
			func(c Core) named { return c.Start }, problem.VMStartFailed),
		operation(MethodVMStop, "Ask the guest to power off and wait until it has. If it does not in time, it goes on running.",
			func(ctx context.Context, s *session, p StopParams) (api.Operation, error) {
				var timeout time.Duration
				if p.TimeoutSeconds != nil {
					timeout = time.Duration(*p.TimeoutSeconds) * time.Second
				}
				return s.srv.core.Stop(ctx, p.Name, timeout, s.who())
			}, problem.VMStopTimeout, problem.VMNotFound, problem.VMBusy, problem.BackendUnreachable),
		verb(MethodVMKill, "End the VM at once, as pulling the plug would. Another operation that runs on it, and may hang, is cancelled; only destroy and purge are not.", func(c Core) named { return c.Kill }),
		verb(MethodVMReboot, "Shut the guest down, start it again and wait until sshd answers.",
			func(c Core) named { return c.Reboot }, problem.VMNotRunning, problem.VMStopTimeout),
		verb(MethodVMSuspend, "Pause the virtual CPUs; memory is kept.", func(c Core) named { return c.Suspend }, problem.VMNotRunning),
		verb(MethodVMResume, "Let a suspended VM go on, with its clock put right. Of a VM that runs only the clock is.", func(c Core) named { return c.Resume }, problem.VMNotRunning),
		operation(MethodVMMigrate, "Move the VM to another backend whose host shares the storage, while it runs or off. Cancelling leaves it where it was. Offer it where both backends have the capability \"migrate\".",
			func(ctx context.Context, s *session, p MigrateParams) (api.Operation, error) {
				return s.srv.core.Migrate(ctx, p.Name, p.Backend, s.who())
			}, problem.BackendUnknown, problem.Unsupported, problem.StorageNotShared, problem.MigrateFailed, problem.VMExists, problem.VMNotRunning,
			problem.VMNotFound, problem.VMBusy, problem.BackendUnreachable),
		operation(MethodVMDestroy, "Undo create: end the VM and delete its disks, snapshots and SSH names, and the machine directory if create made it. One that was there before stays. Any operation running on the machine is cancelled.",
			func(ctx context.Context, s *session, p ConfirmParams) (api.Operation, error) {
				return s.srv.core.Destroy(ctx, p.Name, p.Confirm, s.who())
			}, problem.MachineNotFound, problem.ConfirmRequired, problem.VMBusy, problem.BackendUnreachable),
		operation(MethodVMPurge, "Destroy the VM and delete the machine directory, even if create did not make it. Any operation running on the machine is cancelled.",
			func(ctx context.Context, s *session, p ConfirmParams) (api.Operation, error) {
				return s.srv.core.Purge(ctx, p.Name, p.Confirm, s.who())
			}, problem.MachineNotFound, problem.ConfirmRequired, problem.VMBusy, problem.BackendUnreachable),
		slow(MethodVMConsole, "Open the serial console. What the guest writes is untrusted: unless raw is set, it is made fit for a terminal.",
			func(ctx context.Context, s *session, p ConsoleParams) (any, error) {
				path, err := s.srv.openConsole(ctx, p)
				return ConsoleResult{Socket: path}, err
			}, result[ConsoleResult](problem.VMNotRunning, problem.VMNotFound, problem.Unsupported)),
		networkMethod(),
	}
}

func createVM(ctx context.Context, s *session, p CreateParams) (api.Operation, error) {
	return s.srv.core.Create(ctx, p.request(s.who()))
}

func (p CreateParams) request(client string) vm.CreateRequest {
	return vm.CreateRequest{
		Name: p.Name, Profiles: p.Profiles, Image: p.Image, Mode: p.Mode,
		MemoryMiB: valueOf(p.MemoryMiB), VCPUs: valueOf(p.VCPUs), DiskBytes: valueOf(p.DiskBytes), Autostart: p.Autostart,
		Network: p.Network, Backend: p.Backend, AuthorizedKeys: p.AuthorizedKeys, AllowedCIDRs: p.AllowedCIDRs,
		TCPPorts: p.TCPPorts, RemoteForwards: p.RemoteForwards, NoStart: p.NoStart, Client: client,
	}
}

func valueOf[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
