package qemu

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
