package backends

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

// choosePort returns a free port on 127.0.0.1.
// The search begins at a place that depends on the name, so that a VM that was
// destroyed and made again likely gets its port again.
func choosePort(name string, refused, others map[int]bool) (int, error) {
	h := fnv.New32a()
	h.Write([]byte(name))
	const count = lastPort - firstPort
	for n := range count {
		port := firstPort + (int(h.Sum32()%count)+n)%count
		if !refused[port] && !others[port] && PortFree(port) {
			return port, nil
		}
	}
	return 0, problem.New(problem.PortTaken, "no port between %d and %d is free on 127.0.0.1", firstPort, lastPort).Retry()
}

// PortFree tries to bind. The answer may be outdated at once: the code that starts QEMU
// must be ready to choose again.
func PortFree(port int) bool {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EACCES)
	}
	l.Close()
	return true
}

// PickPort returns old, the port that a VM had, and if that is 0, refused or
// taken, a new one, which is also none of the others: the ports of VMs that may
// be off now.
func PickPort(name string, old int, refused, others map[int]bool) (int, error) {
	if old != 0 && !refused[old] && PortFree(old) {
		return old, nil
	}
	return choosePort(name, refused, others)
}
