package vm

import (
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// bridged is a backend whose host has one bridge.
type bridged struct{ backends.Backend }

func (bridged) Capabilities() backends.Capabilities { return backends.Capabilities{Bridge: true} }

func (bridged) CheckBridge(bridge string) error {
	if bridge != "br0" {
		return problem.New(problem.MachineInvalid, "there is no bridge %s", bridge).WithHint("use br0")
	}
	return nil
}

func TestAMissingBridgeIsRefusedAtOnce(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.backends["test"] = bridged{h.fake}
	wantProblem(t, createErr(h, CreateRequest{Name: "new", Network: "bridge:br1"}), problem.MachineInvalid)
	if err := checkBridge(h.backends["test"], machine.Network{Kind: "bridge", Bridge: "br0"}); err != nil {
		t.Error(err)
	}
}
