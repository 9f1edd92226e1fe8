package netstack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// What one guest may take of its host. An npm install opens some 50 connections
// at once; QEMU's own network forgets flows after the same times.
const (
	maxOut       = 896  // connections of the guest
	maxIn        = 128  // connections to it: a guest that exhausts its own does not keep its owner out
	maxStrangers = 32   // of these, for other users of the host
	maxHalfOpen  = 128  // of the guest's, being made
	maxUDP       = 256  // flows; the one that was idle longest makes room
	maxQueued    = 1024 // frames to the guest; more are lost, as on any card

	minBuffer, maxBuffer = 16 << 10, 256 << 10 // of a connection, each way, in bytes

	dialLimit   = 20 * time.Second       // to connect on behalf of the guest
	tellLimit   = time.Second            // to take an answer about the usage
	acceptPause = 100 * time.Millisecond // after a connection that could not be taken
	udpIdle     = 240 * time.Second      // of a flow
	dnsIdle     = 10 * time.Second       // of a flow to port 53: a name is a new flow
	lingering   = 10 * time.Second       // a guest may take to end a connection that the other side has ended
	timeWait    = 2 * time.Second        // two ends on one wire have nothing in flight

	// A guest that was reset forgets its connections, a suspended one does not.
	keepaliveIdle, keepaliveInterval = 10 * time.Minute, 2 * time.Minute

	memoryLimit = 512 << 20 // bytes, of the Go heap: from here on it is collected hard
	dataLimit   = 1 << 30   // bytes, of the process: beyond it ends
	fileLimit   = 4096
	cpuLimit    = 2 // threads that run at once
)

func limit(s *stack.Stack) error {
	for _, o := range []tcpip.SettableTransportProtocolOption{
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: minBuffer, Default: maxBuffer / 2, Max: maxBuffer},
		&tcpip.TCPSendBufferSizeRangeOption{Min: minBuffer, Default: maxBuffer / 2, Max: maxBuffer},
		ptr(tcpip.TCPModerateReceiveBufferOption(true)),
		ptr(tcpip.TCPSACKEnabled(true)),
		ptr(tcpip.TCPTimeWaitTimeoutOption(timeWait)),
		ptr(tcpip.TCPLingerTimeoutOption(lingering)),
	} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return failed("set a limit", err)
		}
	}
	return nil
}

func ptr[T any](v T) *T { return &v }

// slots are counted out: each holder has a connection.
type slots chan struct{}

func newSlots(n int) slots { return make(slots, n) }

func (s slots) take() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) give() { <-s }

// drain waits until all are given back, and keeps them.
func (s slots) drain() {
	for range cap(s) {
		s <- struct{}{}
	}
}
