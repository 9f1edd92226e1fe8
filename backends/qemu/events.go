package qemu

import (
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/qemu/qmp"
)

// agentPort is the qdev id of the agent's port, as VSERPORT_CHANGE names it.
const agentPort = "agent0"

// eventData holds the fields of all the events that we read (qapi/*.json).
type eventData struct {
	Guest     bool   `json:"guest"`     // SHUTDOWN, RESET
	Reason    string `json:"reason"`    // SHUTDOWN, RESET; BLOCK_IO_ERROR: errno text
	ID        string `json:"id"`        // VSERPORT_CHANGE
	Open      bool   `json:"open"`      // VSERPORT_CHANGE
	Action    string `json:"action"`    // BLOCK_IO_ERROR: "stop", "report", "ignore"
	NoSpace   bool   `json:"nospace"`   // BLOCK_IO_ERROR
	Operation string `json:"operation"` // BLOCK_IO_ERROR
}

// onEvent runs on the QMP reader: it only changes our picture and queues.
func (i *instance) onEvent(e qmp.Event) {
	var d eventData
	if err := e.Decode(&d); err != nil {
		i.log().Warn("cannot parse an event", "event", e.Name, "error", err)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	defer i.changed.Broadcast()
	switch e.Name {
	case "STOP":
		i.enter(backends.Suspended)
	case "RESUME":
		i.reason, i.full = "", false
		i.enter(backends.Running)
	case "SHUTDOWN":
		i.shutdown = d.Reason
	case "RESET":
		i.emit(backends.Rebooted)
	case "GUEST_PANICKED":
		i.reason = "the guest's kernel panicked"
	case "BLOCK_IO_ERROR":
		i.ioError(d)
	case "VSERPORT_CHANGE":
		if d.ID == agentPort && d.Open != i.agent {
			i.agent = d.Open
			if d.Open {
				i.emit(backends.GuestAgentUp)
			}
		}
	}
}

// ioError keeps why QEMU is about to pause the VM. Without a stop the guest was
// told, and it is the guest's affair.
func (i *instance) ioError(d eventData) {
	switch {
	case d.NoSpace && i.state == backends.Running:
		i.reason, i.full = backends.HostFull, true
	case d.NoSpace: // paused already, for this reason or by a user, who resumes it
	case d.Action == "stop":
		i.reason = fmt.Sprintf("a disk %s failed on the host: %.100q", d.Operation, d.Reason)
	}
}

func (i *instance) enter(s backends.State) {
	if s != i.state {
		i.state = s
		i.emit(backends.StateChanged)
	}
}

// emit queues an event, once the VM has been let go. i.mu is held.
func (i *instance) emit(kind backends.EventKind) {
	if i.live {
		i.b.events.Push(backends.Event{Kind: kind, Status: i.statusLocked()})
	}
}
