package api

// State is the state of a VM.
type State string

// The states.
const (
	StateAbsent    State = "absent"    // declared only; nothing of it exists on the backend
	StateStopped   State = "stopped"   // disks exist, no process
	StateRunning   State = "running"   // the virtual CPUs are running; sshd may not be ready
	StateSuspended State = "suspended" // paused, memory kept
	StateCrashed   State = "crashed"   // ended unexpectedly since the last start
	StateBroken    State = "broken"    // incomplete, or files are missing or damaged
	StateUnknown   State = "unknown"   // the backend cannot be reached
)
