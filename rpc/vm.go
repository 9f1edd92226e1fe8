package rpc

import (
	"context"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func vmMethods() []Method {
	type named = func(ctx context.Context, name, client string) (api.Operation, error)
	verb := func(name, doc string, call func(Core) named, errors ...problem.Code) Method {
		return operation(name, doc,
			func(ctx context.Context, s *session, p api.VMParams) (api.Operation, error) {
				return call(s.srv.core)(ctx, p.Name, s.who())
			}, append(errors, problem.VMNotFound, problem.VMBusy, problem.BackendUnreachable)...)
	}
	return []Method{
		operation(api.MethodVMCreate, "Declare a machine if it is not declared yet, make its VM, boot it and wait until sshd answers; or, with declare, only declare it. Cancelling leaves nothing behind.",
			createVM, problem.MachineNameInvalid, problem.MachineExists, problem.VMExists, problem.ProfileUnknown, problem.ProfileConflict, problem.BackendUnknown,
			problem.ModeUnsupported, problem.Unsupported, problem.SizeInvalid, problem.ImageNotFound, problem.ImageBuildFailed, problem.DiskFull, problem.SSHNameTaken, problem.VMBusy),
		cloneMethod(),
		verb(api.MethodVMStart, "Boot the VM and wait until sshd answers. A running VM is left alone. The VM of a machine that is only declared is created first, by an operation of the kind \"create\".",
			func(c Core) named { return c.Start }, problem.VMStartFailed),
		operation(api.MethodVMStop, "Shut the guest down and wait until it has powered off. If it does not power off in time, it keeps running.",
			func(ctx context.Context, s *session, p api.StopParams) (api.Operation, error) {
				var timeout time.Duration
				if p.TimeoutSeconds != nil {
					timeout = time.Duration(*p.TimeoutSeconds) * time.Second
				}
				return s.srv.core.Stop(ctx, p.Name, timeout, s.who())
			}, problem.VMStopTimeout, problem.VMNotFound, problem.VMBusy, problem.BackendUnreachable),
		verb(api.MethodVMKill, "Power the VM off immediately. Any operation running on the machine is cancelled, except destroy and purge.", func(c Core) named { return c.Kill }),
		verb(api.MethodVMReboot, "Shut the guest down, start it again and wait until sshd answers.",
			func(c Core) named { return c.Reboot }, problem.VMNotRunning, problem.VMStopTimeout),
		verb(api.MethodVMSuspend, "Pause the virtual CPUs; memory is kept.", func(c Core) named { return c.Suspend }, problem.VMNotRunning),
		verb(api.MethodVMResume, "Resume a suspended VM and resync its clock. A VM that is running only has its clock resynced.", func(c Core) named { return c.Resume }, problem.VMNotRunning),
		operation(api.MethodVMMigrate, "Move the VM, running or stopped, to another backend whose host shares its storage, or to another node of its backend. If cancelled, it stays where it is. Both backends must have the capability \"migrate\"; a backend with nodes has the capability \"nodes\".",
			func(ctx context.Context, s *session, p api.MigrateParams) (api.Operation, error) {
				if p.Node != "" {
					return s.srv.core.MigrateNode(ctx, p.Name, p.Node, s.who())
				}
				return s.srv.core.Migrate(ctx, p.Name, p.Backend, s.who())
			}, problem.BackendUnknown, problem.Unsupported, problem.StorageNotShared, problem.MigrateFailed, problem.VMExists, problem.VMNotRunning,
			problem.VMNotFound, problem.VMBusy, problem.BackendUnreachable),
		recreateMethod(),
		renameMethod(),
		operation(api.MethodVMDestroy, "Undo create: power the VM off and delete its disks, snapshots and SSH names, and the machine directory if create made it. A directory that existed before is kept, and with keepMachine any is. Any operation running on the machine is cancelled.",
			func(ctx context.Context, s *session, p api.DestroyParams) (api.Operation, error) {
				if p.KeepMachine {
					return s.srv.core.DestroyVM(ctx, p.Name, p.Confirm, s.who())
				}
				return s.srv.core.Destroy(ctx, p.Name, p.Confirm, s.who())
			}, problem.MachineNotFound, problem.ConfirmRequired, problem.VMBusy, problem.BackendUnreachable),
		operation(api.MethodVMPurge, "Destroy the VM and delete the machine directory, even if create did not make it. Any operation running on the machine is cancelled.",
			func(ctx context.Context, s *session, p api.ConfirmParams) (api.Operation, error) {
				return s.srv.core.Purge(ctx, p.Name, p.Confirm, s.who())
			}, problem.MachineNotFound, problem.ConfirmRequired, problem.VMBusy, problem.BackendUnreachable),
		slow(api.MethodVMConsole, "Open the serial console. The guest's output is untrusted: unless raw is set, it is filtered for a terminal.",
			func(ctx context.Context, s *session, p api.ConsoleParams) (any, error) {
				path, err := s.srv.openConsole(ctx, p)
				return api.ConsoleResult{Socket: path}, err
			}, result[api.ConsoleResult](problem.VMNotRunning, problem.VMNotFound, problem.Unsupported)),
		networkMethod(),
		diskMethod(),
	}
}

func createVM(ctx context.Context, s *session, p api.CreateParams) (api.Operation, error) {
	p.Client = s.who()
	return s.srv.core.Create(ctx, p)
}
