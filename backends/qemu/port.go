package qemu

import (
	"errors"
	"hash/fnv"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

// Forwarded ports are chosen from below the range in which Linux picks local
// ports of outgoing connections (ip_local_port_range, 32768 and up): a port
// from there could be gone whenever the VM is off for a moment.
const (
	firstPort = 22000
	lastPort  = 32000
)

// choosePort returns a free port on 127.0.0.1 that no other VM has on record.
// The search begins at a place that depends on the name, so that a VM that was
// destroyed and made again likely gets its port again.
func (b *Backend) choosePort(name string, refused map[int]bool) (int, error) {
	recorded := b.recordedPorts(name)
	h := fnv.New32a()
	h.Write([]byte(name))
	const count = lastPort - firstPort
	for n := range count {
		port := firstPort + (int(h.Sum32()%count)+n)%count
		if !refused[port] && !recorded[port] && portFree(port) {
			return port, nil
		}
	}
	return 0, problem.New(problem.PortTaken, "no port between %d and %d is free on 127.0.0.1", firstPort, lastPort).Retry()
}

// recordedPorts are the ports of the other VMs, running or not.
func (b *Backend) recordedPorts(except string) map[int]bool {
	ports := map[int]bool{}
	for _, name := range b.names() {
		if name == except {
			continue
		}
		if r, err := filesOf(b.layout, name).readRecord(); err == nil && r.Port != 0 {
			ports[r.Port] = true
		}
	}
	return ports
}

// portFree asks by binding. The answer may be old at once: QEMU binds the port
// itself, and start chooses again when that fails.
func portFree(port int) bool {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EACCES)
	}
	l.Close()
	return true
}
