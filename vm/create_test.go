package vm

import (
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
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
	h.create(t, "demo")
	h.mu.Lock()
	h.backends["test"] = bridged{h.fake}
	h.mu.Unlock()
	wantProblem(t, createErr(h, CreateRequest{Name: "new", Network: "bridge:br1"}), problem.MachineInvalid)
	missing, there := "bridge:br1", "bridge:br0"
	_, err := h.Configure(t.Context(), ConfigureRequest{Name: "demo", Network: &missing})
	wantProblem(t, err, problem.MachineInvalid)
	if _, err := h.Configure(t.Context(), ConfigureRequest{Name: "demo", Network: &there}); err != nil {
		t.Error(err)
	}
}
