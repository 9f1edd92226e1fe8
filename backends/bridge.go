package backends

import "context"

// BridgeHost is a Backend that connects VMs to bridges of its host.
type BridgeHost interface {
	// CheckBridge refuses a bridge that is not there, as Create would. It is asked
	// before anything is made. A backend that learns it from its host only when the
	// VM is made accepts all.
	CheckBridge(ctx context.Context, bridge string) error
}
