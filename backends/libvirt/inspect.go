package libvirt

import (
	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
)

// inspect asks libvirtd about a domain, and notes in its live definition when a run
// began that has no note yet. A domain that is not of this owner comes back without
// a mark.
func (b *Backend) inspect(l *golibvirt.Libvirt, dom golibvirt.Domain) (domain, error) {
	d := domain{dom: dom}
	state, reason, err := l.DomainGetState(dom, 0)
	if err != nil {
		return d, err
	}
	if d.mark, err = readMark(l, dom, golibvirt.DomainAffectCurrent); err != nil || !d.mark.belongs(b.owner, dom) {
		return domain{dom: dom}, err
	}
	d.status = statusOf(golibvirt.DomainState(state), reason)
	d.ending = golibvirt.DomainState(state) == golibvirt.DomainShutdown
	if !d.running() {
		return d, nil
	}
	if d.mark.Run == nil { // it has been started since we last looked
		d.mark.Run = &runMark{Started: b.beganAt(dom.Name)}
		if err := writeMark(l, dom, d.mark); err != nil && !isAnswer(err) {
			return d, err
		} else if err != nil { // perhaps it has ended: an event will say so
			b.log.Debug("cannot record the run", "domain", dom.Name, "error", err)
		}
	}
	d.status.Started, d.status.Accel = d.mark.Run.Started, d.mark.Accel
	return d, nil
}

// writeMark replaces our element in the live definition.
func writeMark(l *golibvirt.Libvirt, dom golibvirt.Domain, m mark) error {
	return l.DomainSetMetadata(dom, int32(golibvirt.DomainMetadataElement), golibvirt.OptString{m.String()},
		golibvirt.OptString{"nixvm"}, golibvirt.OptString{namespace}, golibvirt.DomainAffectLive)
}

// readMark reads our element; a domain without one gives an empty mark.
func readMark(l *golibvirt.Libvirt, dom golibvirt.Domain, which golibvirt.DomainModificationImpact) (mark, error) {
	text, err := l.DomainGetMetadata(dom, int32(golibvirt.DomainMetadataElement), golibvirt.OptString{namespace}, which)
	if hasCode(err, golibvirt.ErrNoDomainMetadata) {
		return mark{}, nil
	}
	if err != nil {
		return mark{}, err
	}
	m, err := parseMark(text)
	if err != nil {
		return mark{}, nil //nolint:nilerr // an element in our name space that we cannot read is not ours
	}
	return m, nil
}

// statusOf translates virDomainState and its reason.
func statusOf(state golibvirt.DomainState, reason int32) backends.Status {
	switch state {
	case golibvirt.DomainRunning, golibvirt.DomainBlocked, golibvirt.DomainShutdown:
		return backends.Status{State: backends.Running}
	case golibvirt.DomainPaused:
		s := backends.Status{State: backends.Suspended}
		if golibvirt.DomainPausedReason(reason) == golibvirt.DomainPausedIoerror {
			s.Reason, s.Full = backends.HostFull, true // nothing else pauses it: see writable
		}
		return s
	case golibvirt.DomainPmsuspended:
		return backends.Status{State: backends.Suspended, Reason: "the guest is asleep"}
	case golibvirt.DomainCrashed:
		return backends.Status{State: backends.Crashed, Reason: "the guest's kernel panicked"}
	case golibvirt.DomainShutoff:
		switch golibvirt.DomainShutoffReason(reason) {
		case golibvirt.DomainShutoffCrashed:
			return backends.Status{State: backends.Crashed, Reason: "QEMU was killed or failed"}
		case golibvirt.DomainShutoffDaemon:
			// Where libvirtd knows that it crashed, it says so.
			return backends.Status{State: backends.Stopped, Reason: "QEMU ended while libvirtd was not running: the guest powered off, or QEMU failed"}
		case golibvirt.DomainShutoffFailed:
			return backends.Status{State: backends.Stopped, Reason: "the last start failed"}
		}
		return backends.Status{State: backends.Stopped}
	}
	return backends.Status{State: backends.Unknown, Reason: "libvirtd does not know its state"}
}
