package vm

import (
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// firstUnprivilegedPort is the lowest port on which sshd listens for an account
// other than root (sshd(8) has it built in).
const firstUnprivilegedPort = 1024

// newForward reads a forward that is to be added. What stands in a machine
// directory already is read by machine.ParseForward alone, and stays as it is.
func newForward(line string) (machine.RemoteForward, error) {
	f, err := machine.ParseForward(line)
	if err != nil || f.Unix() {
		return f, err
	}
	if n := f.Port(); n < firstUnprivilegedPort {
		return machine.RemoteForward{}, problem.New(problem.BadParams,
			"the guest cannot listen on port %d: the accounts user and admin may only listen on ports from %d", n, firstUnprivilegedPort).
			WithHint("choose another port in the guest, e.g. %d %s", n+8000, f.Target)
	}
	return f, nil
}

// forwardConflict is the problem of a machine that listens there already.
func forwardConflict(name string, list []machine.RemoteForward, f machine.RemoteForward) error {
	for _, have := range list {
		if have.Listen == f.Listen {
			return problem.New(problem.ForwardConflict, "%s already forwards %s, to %s", name, have.Listen, have.Target).
				WithHint("remove it first, or use another port in the guest")
		}
	}
	return nil
}

// judgeForward finds everything that is wrong with a forward that is to be added.
func (s *Service) judgeForward(name, line string) (machine.RemoteForward, *fieldErrors) {
	wrong := &fieldErrors{}
	f, err := newForward(line)
	wrong.add(fieldForward, err)
	m, _, err := s.realised(name)
	wrong.add(fieldName, err)
	if err == nil && !wrong.has(fieldForward) {
		wrong.add(fieldForward, forwardConflict(name, m.RemoteForwards, f))
	}
	return f, wrong
}

func parseForwards(lines []string) ([]machine.RemoteForward, error) {
	list := make([]machine.RemoteForward, 0, len(lines))
	for _, line := range lines {
		f, err := newForward(line)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}
