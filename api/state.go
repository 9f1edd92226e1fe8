package api

// State is the state of a VM.
type State string

// The states.
const (
	StateAbsent    State = "absent"    // declared only; nothing of it exists on the backend
	StateStopped   State = "stopped"   // disks exist, no process
	StateRunning   State = "running"   // the virtual CPUs run; says nothing about sshd
	StateSuspended State = "suspended" // paused, memory kept
	StateCrashed   State = "crashed"   // ended without being asked to, since the last start
	StateBroken    State = "broken"    // half made, or files are missing or damaged
	StateUnknown   State = "unknown"   // the backend cannot be asked now
)
