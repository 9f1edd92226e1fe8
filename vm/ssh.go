package vm

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/sshconfig"
)

// masterLimit bounds closing the SSH masters of one machine: a stuck one must
// not keep its VM from stopping.
const masterLimit = 5 * time.Second

// forgetLimit bounds taking the names of a VM that is gone out of the SSH
// configuration, at the end of its operation.
const forgetLimit = time.Minute

// SSHConfigFile is the path of the SSH configuration that nixvm writes, for
// clients that list hosts without following Include.
func (s *Service) SSHConfigFile() string { return s.ssh.ConfigFile() }

// hosts are the SSH entries of all realised machines but one.
func (s *Service) hosts(except string) []sshconfig.Host {
	var list []sshconfig.Host
	for _, e := range s.inventory.List() {
		// A mistake in a file takes no name, and no open connection, from a VM that runs.
		guest, ok := e.Guest()
		if e.Record == nil || !ok || e.Name == except {
			continue
		}
		list = append(list, sshconfig.Host{
			Name: e.Name, UUID: guest.UUID, HostKey: guest.HostKey, Endpoint: e.Address, Forwards: guest.RemoteForwards(),
		})
	}
	slices.SortFunc(list, func(a, b sshconfig.Host) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// applySSH writes the SSH configuration for all realised machines but one. The
// error is that of the subject, or one that kept all of it from being written;
// another machine whose names cannot be had shows it as its own problem. A
// config that nixvm must not write (read-only, managed by home-manager) or that
// ssh refuses is not an error: the warning has what to do.
func (s *Service) applySSH(ctx context.Context, subject, except string) (warnings []string, err error) {
	warnings, _, err = s.writeSSH(ctx, subject, except)
	return warnings, err
}

// writeSSH is applySSH; verified says that ssh reads what was written.
func (s *Service) writeSSH(ctx context.Context, subject, except string) (warnings []string, verified bool, err error) {
	s.sshMu.Lock()
	defer s.sshMu.Unlock()
	hosts := s.hosts(except)
	res, err := s.ssh.Apply(ctx, hosts)
	refused := map[string]*problem.Error{}
	for _, r := range res.Refused {
		refused[r.Machine] = problem.From(r.Err)
	}
	s.inventory.SetSSHProblems(refused)
	warnings = inheritedBy(res.Inherited, subject)
	var unread *problem.Error
	switch {
	case err == nil:
	case refused[subject] != nil:
		return nil, false, refused[subject]
	case asProblem(err, problem.SSHConfigReadOnly, &unread), asProblem(err, problem.SSHConfigRefused, &unread):
		warnings = append(warnings, unread.Message+": "+unread.Hint)
	case len(refused) == 0:
		return nil, false, err
	}
	return warnings, res.Included || len(hosts) == 0, nil
}

// inheritedBy says what the user's own configuration adds to the entries of a
// machine, each setting once.
func inheritedBy(all []sshconfig.Inherited, machine string) []string {
	var list []string
	for _, i := range all {
		text := "your own SSH configuration adds " + i.String() + ": " + i.Effect()
		if i.Machine == machine && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// asProblem finds the problem with that code among joined errors.
func asProblem(err error, code problem.Code, found **problem.Error) bool {
	if !problem.HasCode(err, code) {
		return false
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if asProblem(e, code, found) {
				return true
			}
		}
	}
	*found = problem.From(err)
	return true
}

// repairSSH brings an SSH configuration that is there up to date with what this
// daemon would write: its program may have moved, a machine edited meanwhile.
// One that the user has removed stays removed.
func (s *Service) repairSSH() {
	if _, err := os.Stat(s.ssh.ConfigFile()); err != nil {
		return
	}
	s.background(func() {
		if _, err := s.applySSH(s.ctx, "", ""); err != nil {
			s.log.Warn("the SSH configuration is not up to date", "error", err)
		}
	})
}

// forgetSSH takes the names of a VM that is gone out of the SSH configuration.
// The VM was removed before its disks; a repair that ran between the
// two, when the VM still existed, has brought them back. An operation without a
// machine ("") leaves the configuration as it is.
func (s *Service) forgetSSH(name string) {
	if name == "" || s.recordOf(name) != nil {
		return
	}
	if _, err := os.Stat(s.ssh.ConfigFile()); err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), forgetLimit)
	defer cancel()
	if _, err := s.applySSH(ctx, "", ""); err != nil {
		s.log.Warn("the SSH configuration is not up to date", "error", err)
	}
}

// checkSSHName refuses a machine whose SSH names could not be written, before
// anything of it is made. The names of former, a machine that goes, are free; empty = none
// goes.
func (s *Service) checkSSHName(ctx context.Context, name, former string) error {
	s.sshMu.Lock()
	defer s.sshMu.Unlock()
	others := slices.DeleteFunc(s.hosts(name), func(h sshconfig.Host) bool { return h.Name == former })
	if err := s.ssh.CheckName(name, others); err != nil {
		return err
	}
	_, err := s.ssh.Preview(s.hosts(""))
	if problem.HasCode(err, problem.SSHConfigMalformed) {
		return err
	}
	if err == nil {
		return s.ssh.CheckInherited(ctx, name)
	}
	return nil // what else there may be, applySSH says
}

// SSHPreview shows, as a unified diff, what SSHApply would change.
func (s *Service) SSHPreview(context.Context) (string, error) {
	s.sshMu.Lock()
	defer s.sshMu.Unlock()
	d, err := s.ssh.Preview(s.hosts(""))
	return d.String(), err
}

// SSHApply writes the SSH configuration again. verified is false if ssh does not
// read it; a warning says why.
func (s *Service) SSHApply(ctx context.Context) (warnings []string, verified bool, err error) {
	return s.writeSSH(ctx, "", "")
}

// SSHRemove takes everything of ours out of the user's SSH configuration. The
// VMs stay reachable by nixvmd ssh; the next change of a VM writes it again.
func (s *Service) SSHRemove(ctx context.Context) error {
	s.sshMu.Lock()
	defer s.sshMu.Unlock()
	return s.ssh.Remove(ctx)
}

// closeMastersSoon closes the SSH masters of a guest that went down by itself, or
// rebooted: they could not be closed before, and their connections lead nowhere now.
func (s *Service) closeMastersSoon(name string) {
	s.background(func() { s.closeMasters(s.ctx, name) })
}

func (s *Service) closeMasters(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, masterLimit)
	defer cancel()
	if err := s.ssh.CloseMasters(ctx, name); err != nil {
		s.log.Warn("cannot close SSH masters", "machine", name, "error", err)
	}
}
