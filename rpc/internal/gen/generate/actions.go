package generate

import (
	"bytes"
	"encoding/json"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/vm"
)

// offered is what the fakes of the editors' tests answer: they have no rules of
// their own that could differ from the daemon's.
type offered struct {
	Verbs []api.Verb `json:"verbs"`
	// Idle and Busy are the actions of a machine by phase, on a backend that can
	// do everything; Busy while an operation runs on it.
	Idle map[vm.Phase][]vm.Verb `json:"idle"`
	Busy map[vm.Phase][]vm.Verb `json:"busy"`
	// Operations are the kinds that are disruptive, with their outcomes.
	Operations map[api.Kind]api.Outcome `json:"operations"`
}

// actions is the fixture for the tests of the editors.
func actions() ([]byte, error) {
	all := backends.Capabilities{
		LiveSnapshot: true, MemorySnapshot: true, ThinClone: true, Bridge: true, Console: true, Suspend: true, Resize: true, Clone: true,
		CloneSnapshot: true, HostFirewall: true, Migrate: true, Autostart: true, Upgrade: true, Rename: true, Recreate: true,
		Export: true, Import: true, RewriteDisk: true, PCIDevices: true,
	}
	homes := []api.Backend{{Name: "a", Type: "t", Default: true, Capabilities: all}, {Name: "b", Type: "t", Capabilities: all}}
	o := offered{Verbs: rpc.Verbs(), Idle: map[vm.Phase][]vm.Verb{}, Busy: map[vm.Phase][]vm.Verb{}, Operations: map[api.Kind]api.Outcome{}}
	for _, m := range []api.Machine{
		{State: backends.Absent},
		{State: backends.Stopped},
		{State: backends.Running},
		{State: backends.Running, Ready: true},
		{State: backends.Suspended},
		{State: backends.Crashed},
		{State: backends.Broken},
		{State: backends.Unknown},
	} {
		m.Network = "bridge:br0" // what is on one can be shared
		v := vm.VM{Machine: m, Returns: true}
		o.Idle[v.Phase()] = v.Verbs(homes)
		v.Operation = &api.Operation{State: api.OpRunning}
		o.Busy[v.Phase()] = v.Verbs(homes)
	}
	for _, k := range api.Kinds() {
		if k.Disruptive() {
			o.Operations[k] = k.Outcome()
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	err := enc.Encode(o)
	return b.Bytes(), err
}
