package machine

import "strconv"

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
