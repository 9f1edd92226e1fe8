package machine

import (
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

// ParsePort reads a port as people type it; the problem is params.invalid.
func ParsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
	if err != nil || n == 0 {
		return 0, problem.New(problem.BadParams, "%s is not a port", quote(s)).WithHint("write a number from 1 to 65535")
	}
	return uint16(n), nil
}

func parseTCPPorts(m *Machine, t text) (err error) {
	m.TCPPorts, err = t.ports()
	return err
}

func parseUDPPorts(m *Machine, t text) (err error) {
	m.UDPPorts, err = t.ports()
	return err
}

// ports reads one port a line. Ranges are refused: the guest's rules take
// single ports, as nixos-vm-template's do.
func (t text) ports() ([]uint16, error) {
	all, err := t.lines()
	if err != nil {
		return nil, err
	}
	var found []uint16
	for _, l := range all {
		s := withoutComment(l.text)
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			return nil, t.fault(l.number, "write one port from 1 to 65535 a line; ranges and names are not supported", "%s is not a port", quote(s))
		}
		found = append(found, uint16(n))
	}
	return found, nil
}
