package fake

import "github.com/nixvm/nixvm/backends"

// The following happens to guests without the user of the backend.

// behind carries out what no method of backends.Backend asks for, at once.
func (b *Backend) behind(r request) error {
	if b.config.Fault != nil {
		if err := b.config.Fault(r.Method, r.Name); err != nil {
			return err
		}
	}
	b.mu.Lock()
	if r.Method != "write" && r.Method != "lose" && r.Method != "reboot" {
		b.hangUp(r.Name)
	}
	b.mu.Unlock()
	return b.node.apply(r)
}

// Lose takes a guest that runs out of the backend's reach. Its sshd lets admin in now,
// to power it off.
func (b *Backend) Lose(name string) error { return b.behind(request{Method: "lose", Name: name}) }

// Crash ends a guest as its process would.
func (b *Backend) Crash(name, reason string) error {
	return b.behind(request{Method: "crash", Name: name, Text: reason})
}

// Cut takes a guest's network away, also that of its next start, or gives it back.
func (b *Backend) Cut(name string, cut bool) error {
	return b.behind(request{Method: "cut", Name: name, On: cut})
}

// Reboot is the guest's own wish.
func (b *Backend) Reboot(name string) error { return b.behind(request{Method: "reboot", Name: name}) }

// Write sets the content of the guest's disk.
func (b *Backend) Write(name, content string) error {
	return b.behind(request{Method: "write", Name: name, Text: content})
}

// look reads a guest past a backend that is away; nil for none.
func (b *Backend) look(name string) (*guest, error) {
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	return b.node.load(name)
}

// Content of the guest's disk.
func (b *Backend) Content(name string) (string, error) {
	g, err := b.look(name)
	if err != nil || g == nil {
		return "", err
	}
	return g.Content, nil
}

// DiskSize is the size of the guest's disk in bytes.
func (b *Backend) DiskSize(name string) (int64, error) {
	g, err := b.look(name)
	if err != nil || g == nil {
		return 0, err
	}
	return g.Disk, nil
}

// Autostart is what the host of a guest has been told.
func (b *Backend) Autostart(name string) (bool, error) {
	g, err := b.look(name)
	if err != nil || g == nil {
		return false, err
	}
	return g.Autostart, nil
}

// SetAutostartDefault is a configuration by which new guests start with their host.
func (b *Backend) SetAutostartDefault(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.starts = on
}

// Hide takes an optional interface away, which it is given as Offers is, or gives it
// back, and tells so.
func (b *Backend) Hide(optional any, hidden bool) {
	b.mu.Lock()
	b.hidden[optional] = hidden
	b.mu.Unlock()
	b.Tell(backends.Event{Kind: backends.CapabilitiesChanged})
}

// LeaveHalf makes a guest as a create that was cut off leaves it.
func (b *Backend) LeaveHalf(name string) error {
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	return b.node.save(name, &guest{Status: backends.Status{Name: name, State: backends.Stopped}, Lock: "create"})
}
