package machine

import (
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/forward"
	"github.com/nixvm/nixvm/internal/problem"
)

// RemoteForward is one line of remote_forwards, as after RemoteForward in ssh_config(5).
type RemoteForward = forward.Forward

// ParseForward reads one line of remote_forwards; see forward.Parse.
func ParseForward(s string) (RemoteForward, error) { return forward.Parse(s) }

// UnreadForward is a line of remote_forwards that is no forward, or the second for
// the same place. It is kept as it stands, and has no effect.
type UnreadForward struct {
	Text  string // as it stands
	Fault *Fault // file, line, why
}

// Problem is what is wrong with the machine because of the line.
func (u UnreadForward) Problem() *problem.Error {
	code := u.Fault.Code
	if code == "" {
		code = problem.MachineInvalid
	}
	return &problem.Error{
		Code: code, Message: u.Fault.Error() + "; this forward does not work, the others do", Hint: u.Fault.Hint, Err: u.Fault,
	}
}

// parseRemoteForwards keeps lines that are not forwards apart: they open nothing,
// and the other lines are safe without them.
func parseRemoteForwards(m *Machine, t text) error {
	all, err := t.lines()
	if err != nil {
		return err
	}
	taken := map[string]int{}
	for _, l := range all {
		s := withoutComment(l.text)
		f, err := ParseForward(s)
		var fault *Fault
		switch before, twice := taken[f.Listen]; {
		case err != nil:
			p := problem.From(err)
			fault = t.fault(l.number, p.Hint, "%s", p.Message)
		case twice:
			fault = t.fault(l.number, "remove one of the two lines", "%s is already forwarded by line %d", f.Listen, before)
			fault.Code = problem.ForwardConflict
		default:
			taken[f.Listen] = l.number
			m.RemoteForwards = append(m.RemoteForwards, f)
			continue
		}
		m.UnreadForwards = append(m.UnreadForwards, UnreadForward{s, fault})
	}
	return nil
}

// checkForwards finds what a draft or a change must not have, although a file may.
func (m Machine) checkForwards() []*Fault {
	var faults []*Fault
	seen := map[string]bool{}
	for _, f := range m.RemoteForwards {
		if err := f.Validate(); err != nil {
			p := problem.From(err)
			faults = append(faults, &Fault{File: RemoteForwardsFile, Reason: p.Message, Hint: p.Hint})
		} else if seen[f.Listen] {
			faults = append(faults, &Fault{
				File: RemoteForwardsFile, Code: problem.ForwardConflict,
				Reason: f.Listen + " is forwarded twice", Hint: "remove one of the two",
			})
		}
		seen[f.Listen] = true
	}
	return faults
}

// printForwards is the file: the forwards, and what could not be read of it.
func printForwards(m Machine) string {
	s := list("# as after RemoteForward in ssh_config(5); a last word daemon = held by nixvmd", m.RemoteForwards)
	if len(m.UnreadForwards) == 0 {
		return s
	}
	var b strings.Builder
	b.WriteString(s + "# these have no effect: nixvmd list says why\n")
	for _, u := range m.UnreadForwards {
		text := u.Text
		// The second line for a place must not come into effect when the first goes.
		if f, err := ParseForward(text); err == nil && !slices.ContainsFunc(m.RemoteForwards, func(g RemoteForward) bool { return g.Listen == f.Listen }) {
			text = "# " + text
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}
