package rpc_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/vm"
)

// core is a Core in memory. Operations run until the test moves or ends them.
type core struct {
	mu       sync.Mutex
	machines map[string]vm.VM
	ops      []*op
	notices  []api.Notice
	watchers map[int]func(vm.Change)
	homes    []api.Backend
	seq      int
	auto     bool // operations end by themselves, and nothing waits
	// facts, if set, is what Resume finds out before it begins.
	facts func(ctx context.Context) error
	draft vm.Draft // the last one that was checked
}

type op struct {
	value    api.Operation
	ended    chan struct{}
	prepared chan error // of one that is still being prepared: nil begins it, an error refuses it
}

var _ rpc.Core = (*core)(nil)

func newCore(names ...string) *core {
	c := &core{machines: map[string]vm.VM{}, watchers: map[int]func(vm.Change){}}
	c.able(backends.Capabilities{LiveSnapshot: true})
	for _, n := range names {
		c.machines[n] = machineNamed(n)
	}
	return c
}

func machineNamed(name string) vm.VM {
	return vm.VM{Machine: api.Machine{
		Name: name, State: backends.Running, Ready: true, Mode: "immutable", Profiles: []string{"claude", "dev"}, Backend: "qemu",
		Image: api.ImageRef{Kind: "trial", ID: "trial-immutable-ab418e0ff61f74a3", Distro: "debian", Version: "1"}, MemoryMiB: 2048, VCPUs: 2,
		DiskBytes: 20 << 30, Network: "nat", Accel: "tcg", Address: "127.0.0.1:40022", SSHHost: name, AdminHost: name + "-admin",
		Started: time.Unix(1_800_000_000, 0),
	}}
}

func (c *core) tell(changes ...vm.Change) {
	for _, ch := range changes {
		for _, fn := range c.watchers {
			fn(ch)
		}
	}
}

func (c *core) List() []vm.VM {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]vm.VM, 0, len(c.machines))
	for _, v := range c.machines {
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b vm.VM) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list
}

func (c *core) Get(name string) (vm.VM, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.machines[name]; ok {
		return v, nil
	}
	return vm.VM{}, problem.New(problem.MachineNotFound, "there is no machine %q", name).WithHint("create it")
}

func (c *core) Watch(fn func(vm.Change)) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	id := c.seq
	c.watchers[id] = fn
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, id)
	}
}

func (c *core) Operations() []api.Operation {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []api.Operation
	for _, o := range c.ops {
		list = append(list, o.value)
	}
	return list
}

func (c *core) Notices() []api.Notice {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.notices)
}

// notice is something that was done unasked.
func (c *core) notice(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := api.Notice{ID: text, Text: text}
	c.notices = append(c.notices, n)
	c.tell(vm.Change{Notice: &n})
}

// backendChanged tells that a backend has other capabilities.
func (c *core) backendChanged(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell(vm.Change{Backend: name})
}

func (c *core) find(id string) (*op, error) {
	for _, o := range c.ops {
		if o.value.ID == id {
			return o, nil
		}
	}
	return nil, problem.New(problem.OperationNotFound, "there is no operation %q", id).WithHint("list them")
}

func (c *core) Operation(id string) (api.Operation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, err := c.find(id)
	if err != nil {
		return api.Operation{}, err
	}
	return o.value, nil
}

// prepare makes an operation that waits in prepared, and that no watcher hears of.
func (c *core) prepare(kind api.Kind, machine string) *op {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &op{
		value:    api.Operation{ID: fmt.Sprintf("op%d", len(c.ops)+1), Kind: kind, Machine: machine, State: api.OpRunning, Started: time.Now(), Steps: 3},
		ended:    make(chan struct{}),
		prepared: make(chan error),
	}
	c.ops = append(c.ops, o)
	return o
}

func (c *core) Begun(ctx context.Context, id string) (api.Operation, error) {
	c.mu.Lock()
	o, err := c.find(id)
	c.mu.Unlock()
	if err == nil && o.prepared != nil {
		select {
		case err = <-o.prepared:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return api.Operation{}, err
	}
	return c.Operation(id)
}

func (c *core) Cancel(id string) error {
	c.mu.Lock()
	_, err := c.find(id)
	c.mu.Unlock()
	if err == nil {
		c.end(id, api.OpCancelled, problem.New(problem.Cancelled, "it was cancelled"))
	}
	return err
}

// Resolve ends the operation as asked for; resume and undo are operations that
// run until the test ends them.
func (c *core) Resolve(_ context.Context, id string, action api.Action, confirm, client string) (api.Operation, error) {
	c.mu.Lock()
	o, err := c.find(id)
	c.mu.Unlock()
	switch {
	case err != nil:
		return api.Operation{}, err
	case o.value.State != api.OpUnresolved:
		return api.Operation{}, problem.New(problem.OperationResolved, "%s does not wait for a choice", id).WithHint("look at it")
	case action == api.ActionUndo && confirm != o.value.Machine:
		return api.Operation{}, problem.New(problem.ConfirmRequired, "it removes a disk").WithHint("confirm it")
	case action == api.ActionForget:
		c.move(id, func(v *api.Operation) { v.State, v.Choices = api.OpFailed, nil })
		return c.Operation(id)
	}
	op, err := c.begin(api.KindResolve, o.value.Machine, client)
	if err == nil {
		c.move(op.ID, func(v *api.Operation) { v.Resolves = id })
	}
	return op, err
}

func (c *core) Wait(ctx context.Context, id string) (api.Operation, error) {
	c.mu.Lock()
	o, err := c.find(id)
	c.mu.Unlock()
	if err != nil {
		return api.Operation{}, err
	}
	select {
	case <-o.ended:
		return c.Operation(id)
	case <-ctx.Done():
		return api.Operation{}, ctx.Err()
	}
}

// begin starts an operation unless one runs on that machine.
func (c *core) begin(kind api.Kind, machine, client string) (api.Operation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.ops {
		if o.value.Machine == machine && o.value.State == api.OpRunning {
			return api.Operation{}, problem.New(problem.VMBusy, "%s is busy: %s", machine, o.value.ID).WithHint("wait").Retry()
		}
	}
	o := &op{value: api.Operation{
		ID: fmt.Sprintf("op%d", len(c.ops)+1), Kind: kind, Machine: machine, State: api.OpRunning,
		Started: time.Now(), Client: client, Steps: 3,
	}, ended: make(chan struct{})}
	c.ops = append(c.ops, o)
	v := o.value
	c.tell(vm.Change{Operation: &v})
	if c.auto {
		go c.end(v.ID, api.OpSucceeded, nil)
	}
	return v, nil
}

// move changes a running operation.
func (c *core) move(id string, change func(*api.Operation)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, err := c.find(id)
	if err != nil {
		panic(err)
	}
	change(&o.value)
	v := o.value
	c.tell(vm.Change{Operation: &v})
}

// end ends an operation, as often as it is called.
func (c *core) end(id string, state api.OperationState, p *problem.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, err := c.find(id)
	if err != nil || o.value.State != api.OpRunning {
		return
	}
	o.value.State, o.value.Problem, o.value.Ended = state, p, time.Now()
	if state == api.OpSucceeded {
		o.value.Percent = new(100)
		if o.value.Kind == api.KindCreate || o.value.Kind == api.KindClone {
			v := machineNamed(o.value.Machine)
			c.machines[v.Name] = v
			c.tell(vm.Change{VM: &v})
		}
	}
	v := o.value
	c.tell(vm.Change{Operation: &v})
	close(o.ended)
}

// set changes one machine.
func (c *core) set(v vm.VM) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.machines[v.Name] = v
	c.tell(vm.Change{VM: &v})
}

func (c *core) log(id, line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell(vm.Change{Log: &api.LogLine{Operation: id, Vertex: "image", Line: line}})
}

func (c *core) on(kind api.Kind, name, client string) (api.Operation, error) {
	if _, err := c.Get(name); err != nil {
		return api.Operation{}, err
	}
	return c.begin(kind, name, client)
}

func (c *core) Create(_ context.Context, r api.CreateParams) (api.Operation, error) {
	if _, err := c.Get(r.Name); err == nil {
		return api.Operation{}, problem.New(problem.MachineExists, "%s exists", r.Name).WithHint("choose another")
	}
	return c.begin(api.KindCreate, r.Name, r.Client)
}

func (c *core) Clone(_ context.Context, r api.CloneParams) (api.Operation, error) {
	if _, err := c.Get(r.Name); err != nil {
		return api.Operation{}, err
	}
	op, err := c.begin(api.KindClone, r.NewName, r.Client)
	if err == nil {
		op.Source, op.Snapshot = r.Name, r.Snapshot
		c.move(op.ID, func(o *api.Operation) { o.Source, o.Snapshot = r.Name, r.Snapshot })
	}
	return op, err
}

func (c *core) Start(_ context.Context, name, client string) (api.Operation, error) {
	return c.on(api.KindStart, name, client)
}

func (c *core) Stop(_ context.Context, name string, _ time.Duration, client string) (api.Operation, error) {
	return c.on(api.KindStop, name, client)
}

func (c *core) Kill(_ context.Context, name, client string) (api.Operation, error) {
	return c.on(api.KindKill, name, client)
}

func (c *core) Reboot(_ context.Context, name, client string) (api.Operation, error) {
	return c.on(api.KindReboot, name, client)
}

func (c *core) Suspend(_ context.Context, name, client string) (api.Operation, error) {
	return c.on(api.KindSuspend, name, client)
}

func (c *core) Resume(ctx context.Context, name, client string) (api.Operation, error) {
	if c.facts != nil {
		if err := c.facts(ctx); err != nil {
			return api.Operation{}, err
		}
	}
	return c.on(api.KindResume, name, client)
}

func (c *core) MigrateNode(_ context.Context, name, _, client string) (api.Operation, error) {
	return c.on(api.KindMigrate, name, client)
}

func (c *core) Nodes(_ context.Context, backend string) (api.NodeListResult, error) {
	return api.NodeListResult{Backend: cmp.Or(backend, "qemu"), Nodes: []api.Node{{Name: "n1", Online: true}}}, nil
}

func (c *core) Migrate(_ context.Context, name, _, client string) (api.Operation, error) {
	return c.on(api.KindMigrate, name, client)
}

func (c *core) Rename(_ context.Context, req api.RenameParams) (api.Operation, error) {
	return c.on(api.KindRename, req.Name, req.Client)
}

func (c *core) Recreate(_ context.Context, req api.RecreateParams) (api.Operation, error) {
	return c.on(api.KindRecreate, req.Name, req.Client)
}

func (c *core) DestroyVM(_ context.Context, name, _, client string) (api.Operation, error) {
	return c.on(api.KindDestroy, name, client)
}

func (c *core) Destroy(_ context.Context, name, _, client string) (api.Operation, error) {
	return c.on(api.KindDestroy, name, client)
}

func (c *core) Upgrade(_ context.Context, req api.UpgradeParams) (api.Operation, error) {
	return c.on(api.KindUpgrade, req.Name, req.Client)
}

func (c *core) PreviewUpgrade(context.Context, api.UpgradePreviewParams) (api.UpgradePreview, error) {
	return api.UpgradePreview{Added: []string{}, Removed: []string{}}, nil
}

func (c *core) Rollback(_ context.Context, req api.RollbackParams) (api.Operation, error) {
	return c.on(api.KindRollback, req.Name, req.Client)
}

func (c *core) Generations(string) ([]api.Generation, error) {
	return []api.Generation{{Number: 1, Current: true, Profiles: []string{"core"}}}, nil
}

func (c *core) Purge(_ context.Context, name, _, client string) (api.Operation, error) {
	return c.on(api.KindPurge, name, client)
}

func (c *core) Snapshots(_ context.Context, name string) ([]api.Snapshot, error) {
	_, err := c.Get(name)
	return []api.Snapshot{{Name: "s1", Description: "\x1b[1mfirst", Created: time.Unix(1_800_000_000, 0), Frozen: true}}, err
}

func (c *core) CreateSnapshot(_ context.Context, name, _, _, client string) (api.Operation, error) {
	return c.on(api.KindSnapshot, name, client)
}

func (c *core) RestoreSnapshot(_ context.Context, name, _, _, client string) (api.Operation, error) {
	return c.on(api.KindRestoreSnapshot, name, client)
}

func (c *core) DeleteSnapshot(_ context.Context, name, _, client string) (api.Operation, error) {
	return c.on(api.KindDeleteSnapshot, name, client)
}

func (c *core) Backups(context.Context, string) ([]api.Backup, error) {
	return []api.Backup{{ID: "demo-1", File: "/backups/demo-1", Machine: "\x1b[1mdemo"}}, nil
}

func (c *core) BackupDirectory() string { return "/backups" }

func (c *core) Backup(_ context.Context, p api.BackupCreateParams) (api.Operation, error) {
	return c.on(api.KindBackup, p.Name, p.Client)
}

func (c *core) InspectBackup(_ context.Context, p api.BackupInspectParams) (api.BackupInspectResult, error) {
	return api.BackupInspectResult{
		Backup: api.Backup{File: p.Backup, Machine: "demo"}, Name: "demo",
		Settings: []api.BackupSetting{{File: "image", Text: "\x1b]0;x\x07trial"}},
	}, nil
}

func (c *core) RestoreBackup(_ context.Context, p api.BackupRestoreParams) (api.Operation, error) {
	return c.on(api.KindRestoreBackup, p.Name, p.Client)
}

func (c *core) Adoptable(_ context.Context, p api.AdoptListParams) (api.AdoptListResult, error) {
	return api.AdoptListResult{Directory: p.Directory}, nil
}

func (c *core) Adopt(_ context.Context, p api.AdoptParams) (api.Operation, error) {
	return c.on(api.KindImport, cmp.Or(p.Name, "demo"), p.Client)
}

func (c *core) Attach(_ context.Context, r api.AttachParams) (api.AttachResult, error) {
	_, err := c.Get(r.Name)
	return api.AttachResult{Name: r.Name, SSHHost: r.Name, User: "user", Directory: "/home/user", Command: []string{"ssh", r.Name}}, err
}

// Endpoint waits, when asked to, until the client gives up.
func (c *core) Endpoint(ctx context.Context, r api.EndpointParams) (api.Endpoint, error) {
	if r.Wait && !c.auto {
		<-ctx.Done()
		return api.Endpoint{}, ctx.Err()
	}
	_, err := c.Get(r.Host)
	return api.Endpoint{Machine: r.Host, Network: "tcp", Address: "127.0.0.1:1"}, err
}

func (c *core) lastDraft() vm.Draft {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draft
}

// CheckDraft finds no fault with anything.
func (c *core) CheckDraft(_ context.Context, d vm.Draft) map[string]api.DraftField {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draft = d
	fields := map[string]api.DraftField{}
	if d.Create != nil {
		fields["name"] = api.DraftField{Value: d.Create.Name}
		memory := api.DraftField{Default: d.Create.MemoryMiB == nil}
		if !memory.Default {
			memory.Number = int64(*d.Create.MemoryMiB)
		}
		fields["memoryMiB"] = memory
		fields["profiles"] = api.DraftField{Values: d.Create.Profiles, Choices: []string{"claude"}}
	}
	return fields
}

func (c *core) Configure(_ context.Context, r api.ConfigureParams, _ string) (vm.VM, error) {
	v, err := c.Get(r.Name)
	if err == nil && r.MemoryMiB != nil {
		v.MemoryMiB = *r.MemoryMiB
		c.set(v)
	}
	return v, err
}

func (c *core) DeleteMachine(_ context.Context, name, _ string) error {
	_, err := c.Get(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.machines, name)
	c.tell(vm.Change{Removed: name})
	return err
}

func (c *core) Defaults() api.CreateDefaults {
	return api.CreateDefaults{Profiles: []string{"claude"}, Mode: "immutable", MemoryMiB: 2048, VCPUs: 2, DiskBytes: 20 << 30, Network: "nat"}
}

func (c *core) Profiles() []api.Profile {
	return []api.Profile{{Name: "core", Images: []string{"trial"}}, {Name: "claude", Agent: true, Images: []string{"nixos", "trial"}}}
}

func (c *core) Images() ([]api.Image, error) { return nil, nil }

// BuildImage is about no machine.
func (c *core) BuildImage(_ context.Context, r api.ImageBuildParams) (api.Operation, error) {
	return c.begin(api.KindBuildImage, "", r.Client)
}

func (c *core) CollectImages(context.Context, api.ImageGCParams) (api.ImageGCResult, error) {
	return api.ImageGCResult{Images: []api.CollectedImage{{ID: "trial-immutable-ab418e0ff61f74a3", Bytes: 1, Kept: "used by demo"}}}, nil
}

func (c *core) Backends() []api.Backend {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.homes)
}

// able gives the backend other capabilities.
func (c *core) able(caps backends.Capabilities) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.homes = []api.Backend{{Name: "qemu", Type: "qemu", Default: true, Capabilities: caps}}
	vm.Offer(c.homes)
}

func (c *core) CheckBackend(_ context.Context, name string) ([]api.Finding, error) {
	if name != "qemu" {
		return nil, problem.New(problem.BackendUnknown, "no backend %q", name).WithHint("list them")
	}
	return nil, nil
}
func (c *core) Doctor(context.Context) []api.Finding       { return nil }
func (c *core) SSHPreview(context.Context) (string, error) { return "+Include x\n", nil }
func (c *core) Share(context.Context, string, []string, string) (vm.Shared, error) {
	return vm.Shared{}, nil
}

func (c *core) SSHApply(context.Context) ([]string, bool, error) { return nil, true, nil }
func (c *core) SSHRemove(context.Context) error                  { return nil }
func (c *core) Bridges(_ context.Context, backend string) (api.BridgeListResult, error) {
	return api.BridgeListResult{Backend: cmp.Or(backend, "qemu"), Bridges: []api.Bridge{{Name: "br0", Up: true, Ports: []string{"eth0"}}}}, nil
}

func (c *core) PCIDevices(_ context.Context, backend string) (api.PCIListResult, error) {
	return api.PCIListResult{Backend: cmp.Or(backend, "qemu"), Devices: []api.PCIDevice{{Address: "0000:01:00.0", Class: "3D controller", ID: "10de:1eb8"}}}, nil
}

func (c *core) NetworkUsage(context.Context, string) (backends.NetworkUsage, error) {
	return backends.NetworkUsage{}, nil
}
func (c *core) Forwards(_ context.Context, _ string) ([]api.Forward, error) { return nil, nil }
func (c *core) OpenedPorts(_ context.Context, _ string) []api.OpenedPort    { return nil }
func (c *core) AddForward(context.Context, string, string) ([]api.Forward, error) {
	return nil, errors.New("an error that is no problem")
}

func (c *core) RemoveForward(context.Context, string, string) ([]api.Forward, error) {
	panic("a handler that panics")
}

// Console echoes.
func (c *core) Console(_ context.Context, name string) (io.ReadWriteCloser, error) {
	if _, err := c.Get(name); err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		_, _ = io.Copy(far, far)
	}()
	return near, nil
}
