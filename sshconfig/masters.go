package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

// masterTimeout bounds one conversation with a master. A healthy one answers
// in 5 ms, and ssh itself would wait for a stuck one forever (ConnectTimeout
// does not cover the control socket).
const masterTimeout = 5 * time.Second

// master is a live ControlMaster of an alias.
type master struct{ alias, socket string }

// MasterAlive reports whether a ControlMaster listens for the alias, as any
// account. A socket file is no sign of life, so the sockets are dialled; one that
// is certainly dead is removed.
func (c *Config) MasterAlive(ctx context.Context, alias string) (bool, error) {
	live, err := c.masters(ctx, alias)
	return len(live) > 0, err
}

// masters finds the live masters of an alias: that of the account in its entry,
// and those of accounts that the user named (ssh admin@demo). An error is about a
// socket that may or may not be alive; the others are returned all the same.
func (c *Config) masters(ctx context.Context, alias string) (live []master, err error) {
	sockets, err := c.sockets(alias)
	for _, socket := range sockets {
		m := master{alias, socket}
		conn, dialErr := m.dial(ctx)
		if dialErr != nil {
			err = errors.Join(err, dialErr)
		}
		if conn != nil {
			_ = conn.Close()
			live = append(live, m)
		}
	}
	return live, err
}

// sockets lists the files that are, or were, control sockets of an alias: one for
// each account, perhaps that of a version which had one for all, and what an ssh
// that was killed while it bound one has left (the name and 17 characters).
func (c *Config) sockets(alias string) ([]string, error) {
	dir := c.opts.Layout.ControlDir()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("control sockets: %w", err)
	}
	base := filepath.Base(c.opts.Layout.HostControlSocket(alias))
	var all []string
	for _, e := range entries {
		if rest, ours := strings.CutPrefix(e.Name(), base); ours && (rest == "" || rest[0] == '-' || rest[0] == '.') {
			all = append(all, filepath.Join(dir, e.Name()))
		}
	}
	return all, nil
}

// dial connects to the control socket; a nil connection without an error says
// that there is no master.
func (m master) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, masterTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", m.socket)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, unix.ENOENT):
		return nil, nil
	case errors.Is(err, unix.ECONNREFUSED):
		// No process listens or ever will: the listener of a socket file
		// cannot come back.
		if err := os.Remove(m.socket); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		return nil, nil
	}
	return nil, fmt.Errorf("ssh master of %s: %w", m.alias, err)
}

// CloseMasters ends the masters of these machines, of every account, and waits
// until they are gone. Call it before a VM stops: a terminal or an editor on a
// dead connection would hang. Machines without masters cost nothing.
//
// A master that does not answer in time (5 s each, all at once) is reported,
// not killed: it ends by its own ServerAlive limit.
func (c *Config) CloseMasters(ctx context.Context, machines ...string) error {
	var all []master
	var errs []error
	for _, m := range machines {
		a := c.Aliases(m)
		for _, alias := range []string{a.User, a.Admin} {
			sockets, err := c.sockets(alias)
			errs = append(errs, err)
			for _, s := range sockets {
				all = append(all, master{alias, s})
			}
		}
	}
	closed := make(chan error)
	for _, m := range all {
		go func() { closed <- c.closeMaster(ctx, m) }()
	}
	for range all {
		errs = append(errs, <-closed)
	}
	return errors.Join(errs...)
}

func (c *Config) closeMaster(ctx context.Context, m master) error {
	conn, err := m.dial(ctx)
	if conn == nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, masterTimeout)
	defer cancel()
	if _, err := c.control(ctx, m, "-O", "exit"); err != nil {
		// It may have ended by itself meanwhile; ctx may have, too.
		if again, gone := m.dial(context.WithoutCancel(ctx)); again != nil {
			return errors.Join(err, again.Close())
		} else if gone == nil {
			return nil
		}
		return err
	}
	// The master closes every control connection as it exits, ours among them.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, unix.ECONNRESET) {
		return fmt.Errorf("ssh master of %s did not exit: %w", m.alias, err)
	}
	return nil
}

// control runs ssh against the control socket alone: no configuration is read,
// so a broken one cannot stop it.
func (c *Config) control(ctx context.Context, m master, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, masterTimeout)
	defer cancel()
	// The account in the path is what the user typed; ssh would expand a token in it.
	args = append([]string{"-F", "none", "-S", strings.ReplaceAll(m.socket, "%", "%%")}, args...)
	cmd := exec.CommandContext(ctx, c.opts.SSH, append(args, m.alias)...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return out.String(), problem.New(problem.SSHUnreachable, "the ssh master of %s does not answer: %w (%s)", m.alias, err, firstLine(out.String())).
		WithHint("close the terminals and editors that use %s", m.alias).Retry()
}

// ForwardAdd applies a forward to the live master of a machine's user account,
// so that it works without a new connection; the Host block has it for later
// ones. Without a master, applied is false and nothing is wrong. A forward that
// is Held is a mistake of the caller: those belong to a Holder.
//
// Problems: forward.conflict if the guest refuses to listen there.
func (c *Config) ForwardAdd(ctx context.Context, machine string, f Forward) (applied bool, err error) {
	return c.changeForward(ctx, machine, "forward", f)
}

// ForwardRemove takes a forward off the live master again; see ForwardAdd. A
// forward that the master does not have is no error.
func (c *Config) ForwardRemove(ctx context.Context, machine string, f Forward) (applied bool, err error) {
	return c.changeForward(ctx, machine, "cancel", f)
}

func (c *Config) changeForward(ctx context.Context, machine, verb string, f Forward) (bool, error) {
	if err := f.Validate(); err != nil {
		return false, err
	}
	if f.Held() {
		return false, problem.New(problem.BadParams, "the forward %q is held by the daemon, not by a master", f)
	}
	alias := c.Aliases(machine).User
	live, err := c.masters(ctx, alias)
	if len(live) == 0 {
		return false, err
	}
	if verb == "forward" {
		own := master{alias, c.opts.Layout.ControlSocket(alias, "user")}
		return c.forwardOn(ctx, live[max(0, slices.Index(live, own))], machine, f)
	}
	// Any of them may have it: each asks for the forwards of the entry when it begins.
	applied := false
	for _, m := range live {
		out, cancelErr := c.control(ctx, m, "-O", "cancel", "-R", f.Flag())
		if cancelErr == nil {
			applied = true
		} else if !says(out, "not forwarded") {
			err = errors.Join(err, cancelErr)
		}
	}
	return applied, err
}

func (c *Config) forwardOn(ctx context.Context, m master, machine string, f Forward) (bool, error) {
	out, err := c.control(ctx, m, "-O", "forward", "-R", f.Flag())
	if err != nil && says(out, "forwarding") {
		return false, problem.New(problem.ForwardConflict, "%s cannot listen on %s: %s", machine, f.Listen, firstLine(out)).
			WithHint("the port is in use in the VM, or another connection forwards it; choose another port")
	}
	return err == nil, err
}

// says looks for words in ssh's output, ignoring case.
func says(out, words string) bool { return strings.Contains(strings.ToLower(out), words) }
