package vm

import (
	"context"
	"io"
	"net"
	"path"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/sshconfig"
)

// Attach returns what an editor needs to open a VM, in its own words. With
// Start it boots a VM that is off and waits for its sshd; without, it answers
// at once and says in Ready whether sshd answers.
func (s *Service) Attach(ctx context.Context, req api.AttachParams) (api.AttachResult, error) {
	if req.Start {
		if err := s.awaitCreate(ctx, req.Name); err != nil {
			return api.AttachResult{}, err
		}
	}
	if _, _, err := s.placed(req.Name); err != nil {
		return api.AttachResult{}, err
	}
	account, aliases := "user", s.ssh.Aliases(req.Name)
	host := aliases.User
	if req.Admin {
		account, host = "admin", aliases.Admin
	}
	directory := req.Directory
	setDefault(&directory, "/home/"+account)
	if !path.IsAbs(directory) || strings.ContainsFunc(directory, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return api.AttachResult{}, problem.New(problem.BadParams, "directory: %q is not an absolute path", directory).WithHint("use a path in the guest, e.g. /home/user/project")
	}
	directory = path.Clean(directory)
	if req.Start {
		if err := s.ensureRunning(ctx, req.Name, "attach"); err != nil {
			return api.AttachResult{}, err
		}
	}
	s.checkClock(req.Name)
	v, err := s.Get(req.Name)
	return api.AttachResult{
		Name: req.Name, SSHHost: host, User: account, Directory: directory, Ready: v.Ready,
		Tramp:      "/nixvm:" + host + ":" + directory,
		TrampPlain: "/ssh:" + host + ":" + directory,
		VSCodeURI:  "vscode-remote://ssh-remote+" + host + uriPath(directory),
		Command:    []string{"ssh", host},
	}, err
}

// uriPath escapes a path for a URI.
func uriPath(p string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(p) {
		c := p[i]
		if c == '/' || c == '-' || c == '_' || c == '.' || c == '~' ||
			('0' <= c && c <= '9') || ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// ensureRunning starts or resumes a VM unless it runs, and waits for its sshd.
// Several callers at once share one start.
func (s *Service) ensureRunning(ctx context.Context, name, client string) error {
	if err := s.awaitTurn(ctx, name); err != nil {
		return err
	}
	st, err := s.statusNow(ctx, name)
	state := st.State
	if err != nil || state == backends.Unknown && s.answersAnyway(ctx, name) {
		return err
	}
	if st.Full {
		return hostFull(name, "be connected to")
	}
	waited := false // for an edit that does not end
	for state != backends.Running {
		begin := s.Start
		if state == backends.Suspended {
			begin = s.Resume
		}
		op, err := begin(ctx, name, client)
		if problem.HasCode(err, problem.VMBusy) {
			// The operation that is running may bring it up: check again when it is over.
			running := s.engine.HeldBy(name)
			if running == nil && waited {
				return err
			}
			if waited = running == nil; waited {
				continue // it has just ended, or it is an edit, which Start has waited for
			}
			op, err = running.Wait(ctx)
		} else if err == nil {
			op, err = s.engine.Wait(ctx, op.ID)
		}
		if err != nil {
			return err
		}
		if op.State != api.OpRunning && op.Machine == name && runs(op.Kind) {
			if err := failureOf(op); err != nil {
				return err
			}
		}
		if state, err = s.stateNow(ctx, name); err != nil {
			return err
		}
	}
	return s.inventory.WaitReady(ctx, name)
}

// awaitTurn waits until a VM that does not run may be started. One that runs is reached
// while an operation copies it.
func (s *Service) awaitTurn(ctx context.Context, name string) error {
	if s.stateSeen(name) != backends.Running {
		if err := s.engine.AwaitRelease(ctx, name); err != nil {
			return err
		}
	}
	return s.awaitDown(ctx, name)
}

// runs reports whether a VM runs, or can be started, when an operation of that kind has
// succeeded: where it has failed, another attempt would as well.
func runs(kind api.Kind) bool {
	return kind == api.KindStart || kind == api.KindResume || makes[kind]
}

// failureOf is why an operation that has ended did not succeed; nil when it did.
func failureOf(op api.Operation) error {
	switch {
	case op.State == api.OpSucceeded:
		return nil
	case op.Problem != nil:
		return op.Problem
	}
	return problem.New(problem.OperationInterrupt, "%s of %s is %s", op.Kind, op.Subject(), op.State).Retry()
}

// awaitDown waits for an operation that takes the guest down, and, with those
// that start it again, for the guest. A connection made meanwhile would reach the
// old guest: an editor that connects again by itself would hang on it until its
// keepalive gives up.
func (s *Service) awaitDown(ctx context.Context, name string) error {
	for {
		running := s.engine.HeldBy(name)
		if running == nil || !running.Value().Kind.Disruptive() {
			return nil
		}
		if _, err := running.Wait(ctx); err != nil {
			return err
		}
	}
}

// awaitCreate waits for an operation that makes the VM of that name, so that
// attaching to one that is just being made works instead of finding none.
func (s *Service) awaitCreate(ctx context.Context, name string) error {
	running := s.engine.HeldBy(name)
	if running == nil {
		return nil
	}
	op := running.Value()
	if !makes[op.Kind] || op.Machine != name {
		return nil
	}
	op, err := running.Wait(ctx)
	if err != nil || op.State == api.OpRunning { // it was refused: nothing has come of it
		return err
	}
	return failureOf(op)
}

// Endpoint says where the sshd behind an SSH name is, for nixvmd proxy.
func (s *Service) Endpoint(ctx context.Context, req api.EndpointParams) (api.Endpoint, error) {
	name, _, ok := s.ssh.Resolve(req.Host, func(machine string) bool { return s.recordOf(machine) != nil })
	if !ok {
		name = req.Host
	}
	if req.Start || req.Wait {
		if err := s.awaitCreate(ctx, name); err != nil {
			return api.Endpoint{}, err
		}
	}
	b, err := s.backendOf(name)
	if err != nil {
		return api.Endpoint{}, err
	}
	switch {
	case req.Start:
		ctx, cancel := context.WithTimeout(ctx, readyLimit)
		defer cancel()
		err = s.ensureRunning(ctx, name, "ssh")
	case req.Wait:
		ctx, cancel := context.WithTimeout(ctx, readyLimit)
		defer cancel()
		if err = s.awaitDown(ctx, name); err == nil && !s.answersAnyway(ctx, name) {
			err = s.inventory.WaitReady(ctx, name)
		}
	}
	if err != nil {
		return api.Endpoint{}, err
	}
	s.checkClock(name)
	ep, err := b.Endpoint(ctx, s.ref(name))
	return api.Endpoint{Machine: name, Network: ep.Network, Address: ep.Address}, err
}

// answersAnyway reports whether sshd answers in a guest that its backend cannot reach:
// one whose control sockets are gone, for example.
func (s *Service) answersAnyway(ctx context.Context, name string) bool {
	e, b, err := s.placed(name)
	if err != nil {
		return false
	}
	guest, err := s.guestOf(e)
	if err != nil {
		return false
	}
	if st, err := b.Status(ctx, s.ref(name)); err != nil || st.State != backends.Unknown {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.ask)
	defer cancel()
	return sshconfig.WaitReady(ctx, sshconfig.WaitOptions{
		Dial:    func(ctx context.Context) (net.Conn, error) { return s.inventory.Dial(ctx, b, name) },
		HostKey: guest.HostKey,
	}) == nil
}

// Console opens the serial console of a running VM.
func (s *Service) Console(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	b, err := s.backendOf(name)
	if err != nil {
		return nil, err
	}
	host, err := backends.Require[backends.Console](b, "open consoles")
	if err != nil {
		return nil, err
	}
	return host.Console(ctx, s.ref(name))
}
