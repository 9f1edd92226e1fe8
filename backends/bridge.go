package backends

// BridgeHost is a backend that can tell whether its host has a bridge.
type BridgeHost interface {
	// CheckBridge refuses a bridge that is not there, as Create would. It is asked
	// before anything is made.
	CheckBridge(bridge string) error
}
