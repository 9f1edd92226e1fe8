package rpc

import (
	"context"
	"io"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/vm"
)

// Core is what the server serves; *vm.Service implements it.
//
// Methods that return a api.Operation validate, begin the operation and return
// it at once; client, or the Client of the parameters, says who asked. The context of such a call covers the
// validation only: the operation outlives it. All methods may be called at once
// from several goroutines.
type Core interface {
	// List returns every machine, Get one of them (machine.not_found). Both
	// answer from memory.
	List() []vm.VM
	Get(name string) (vm.VM, error)
	// Watch calls fn for every change, from one goroutine, in order; fn does
	// not block. A List taken after Watch returned misses nothing. That an
	// operation began or ended is told of its VM too, and its end is told last:
	// a client that has seen the end has seen all changes of the operation.
	Watch(fn func(vm.Change)) (cancel func())

	// Operations returns those that run, are unresolved, or ended lately.
	Operations() []api.Operation
	Operation(id string) (api.Operation, error)
	// Begun waits as long as an operation is being prepared, of which nothing is told. It
	// returns the problem of one that was refused then.
	Begun(ctx context.Context, id string) (api.Operation, error)
	// Notices returns what was done unasked since the start, such as the repair of
	// a damaged file.
	Notices() []api.Notice
	// Cancel asks a running operation to stop; it ends later, as cancelled or
	// however else it came out.
	Cancel(id string) error
	// Resolve makes a choice of an unresolved operation. It returns the operation
	// that does it, or, for forget, the one that is forgotten.
	Resolve(ctx context.Context, id string, action api.Action, confirm, client string) (api.Operation, error)

	Create(ctx context.Context, req api.CreateParams) (api.Operation, error)
	Clone(ctx context.Context, req api.CloneParams) (api.Operation, error)
	Start(ctx context.Context, name, client string) (api.Operation, error)
	Stop(ctx context.Context, name string, timeout time.Duration, client string) (api.Operation, error)
	Kill(ctx context.Context, name, client string) (api.Operation, error)
	Reboot(ctx context.Context, name, client string) (api.Operation, error)
	Suspend(ctx context.Context, name, client string) (api.Operation, error)
	Resume(ctx context.Context, name, client string) (api.Operation, error)
	Rename(ctx context.Context, req api.RenameParams) (api.Operation, error)
	Recreate(ctx context.Context, req api.RecreateParams) (api.Operation, error)
	Migrate(ctx context.Context, name, backend, client string) (api.Operation, error)
	// MigrateNode is Migrate to another node of the VM's backend.
	MigrateNode(ctx context.Context, name, node, client string) (api.Operation, error)
	Upgrade(ctx context.Context, req api.UpgradeParams) (api.Operation, error)
	PreviewUpgrade(ctx context.Context, req api.UpgradePreviewParams) (api.UpgradePreview, error)
	Rollback(ctx context.Context, req api.RollbackParams) (api.Operation, error)
	// Generations lists the images that a VM boots from or can return to.
	Generations(name string) ([]api.Generation, error)
	Destroy(ctx context.Context, name, confirm, client string) (api.Operation, error)
	// DestroyVM is Destroy, and keeps the machine directory.
	DestroyVM(ctx context.Context, name, confirm, client string) (api.Operation, error)
	Purge(ctx context.Context, name, confirm, client string) (api.Operation, error)

	Snapshots(ctx context.Context, name string) ([]api.Snapshot, error)
	CreateSnapshot(ctx context.Context, name, snapshot, description, client string) (api.Operation, error)
	RestoreSnapshot(ctx context.Context, name, snapshot, confirm, client string) (api.Operation, error)
	DeleteSnapshot(ctx context.Context, name, snapshot, client string) (api.Operation, error)

	// Backups are those in BackupDirectory.
	Backups(ctx context.Context, name string) ([]api.Backup, error)
	BackupDirectory() string
	Backup(ctx context.Context, req api.BackupCreateParams) (api.Operation, error)
	// InspectBackup says what RestoreBackup would do.
	InspectBackup(ctx context.Context, req api.BackupInspectParams) (api.BackupInspectResult, error)
	RestoreBackup(ctx context.Context, req api.BackupRestoreParams) (api.Operation, error)

	// Adoptable lists the machines of a directory of nixos-vm-template, and Adopt takes
	// one over.
	Adoptable(ctx context.Context, req api.AdoptListParams) (api.AdoptListResult, error)
	Adopt(ctx context.Context, req api.AdoptParams) (api.Operation, error)

	// Pull fetches a branch of the guest into a checkout; Review says what it adds there.
	Pull(ctx context.Context, req api.PullParams) (api.Operation, error)
	Review(ctx context.Context, req api.ReviewParams) (api.ReviewResult, error)

	Attach(ctx context.Context, req api.AttachParams) (api.AttachResult, error)
	Endpoint(ctx context.Context, req api.EndpointParams) (api.Endpoint, error)
	// CheckDraft says of each field of a request what would become of it.
	CheckDraft(ctx context.Context, d vm.Draft) map[string]api.DraftField
	// Configure changes the files of a machine. Both of these have told the
	// watchers when they return.
	Configure(ctx context.Context, req api.ConfigureParams, client string) (vm.VM, error)
	// DeleteMachine removes the declaration of a machine that has no VM.
	DeleteMachine(ctx context.Context, name, confirm string) error

	// Defaults are what Create takes when it is not told.
	Defaults() api.CreateDefaults
	Profiles() []api.Profile
	Images() ([]api.Image, error)
	BuildImage(ctx context.Context, req api.ImageBuildParams) (api.Operation, error)
	// CollectImages removes the images that nothing needs.
	CollectImages(ctx context.Context, req api.ImageGCParams) (api.ImageGCResult, error)
	Backends() []api.Backend
	CheckBackend(ctx context.Context, name string) ([]api.Finding, error)
	// PCIDevices lists those of the host of a backend; "" is the default backend.
	PCIDevices(ctx context.Context, backend string) (api.PCIListResult, error)
	// Bridges lists those of the host of a backend; "" is the default backend.
	Bridges(ctx context.Context, backend string) (api.BridgeListResult, error)
	Nodes(ctx context.Context, backend string) (api.NodeListResult, error)
	Doctor(ctx context.Context) []api.Finding

	// SSHPreview returns a unified diff of what SSHApply would change.
	SSHPreview(ctx context.Context) (string, error)
	// SSHApply writes the SSH configuration and returns warnings, and whether ssh
	// reads what was written.
	SSHApply(ctx context.Context) (warnings []string, verified bool, err error)
	SSHRemove(ctx context.Context) error
	// Share authorizes keys of another computer and returns what its ssh needs.
	Share(ctx context.Context, name string, keys []string, client string) (vm.Shared, error)

	NetworkUsage(ctx context.Context, name string) (backends.NetworkUsage, error)
	DiskUsage(ctx context.Context, name string) (api.DiskResult, error)

	Forwards(ctx context.Context, name string) ([]api.Forward, error)
	// OpenedPorts are what leads into the guest through shared connections.
	OpenedPorts(ctx context.Context, name string) []api.OpenedPort
	AddForward(ctx context.Context, name, line string) ([]api.Forward, error)
	RemoveForward(ctx context.Context, name, line string) ([]api.Forward, error)

	// Console opens the serial console of a running VM; it lives until closed.
	Console(ctx context.Context, name string) (io.ReadWriteCloser, error)
}

var _ Core = (*vm.Service)(nil)
