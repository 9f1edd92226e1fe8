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
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

// masterTimeout bounds one conversation with a master. A healthy one answers
// in 5 ms, and ssh itself would wait for a stuck one forever (ConnectTimeout
// does not cover the control socket).
const masterTimeout = 5 * time.Second

// MasterAlive reports whether a ControlMaster listens for the alias. A socket
// file is no sign of life, so the socket is dialled; one that is certainly dead
// is removed.
func (c *Config) MasterAlive(ctx context.Context, alias string) (bool, error) {
	conn, err := c.dialMaster(ctx, alias)
	if conn == nil {
		return false, err
	}
	return true, conn.Close()
}

// dialMaster connects to the control socket; a nil connection without an error
// says that there is no master.
func (c *Config) dialMaster(ctx context.Context, alias string) (net.Conn, error) {
	socket := c.opts.Layout.ControlSocket(alias)
	ctx, cancel := context.WithTimeout(ctx, masterTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, unix.ENOENT):
		return nil, nil
	case errors.Is(err, unix.ECONNREFUSED):
		// Nobody listens and nobody ever will: the listener of a socket file
		// cannot come back.
		if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		return nil, nil
	}
	return nil, fmt.Errorf("ssh master of %s: %w", alias, err)
}

// CloseMasters ends the masters of these machines, both accounts, and waits
// until they are gone. Call it before a VM stops: a terminal or an editor on a
// dead connection would hang. Machines without masters cost nothing.
//
// A master that does not answer in time (5 s each, all at once) is reported,
// not killed: it ends by its own ServerAlive limit.
func (c *Config) CloseMasters(ctx context.Context, machines ...string) error {
	errs := make(chan error)
	for _, m := range machines {
		a := c.Aliases(m)
		for _, alias := range []string{a.User, a.Admin} {
			go func() { errs <- c.closeMaster(ctx, alias) }()
		}
	}
	var all error
	for range 2 * len(machines) {
		all = errors.Join(all, <-errs)
	}
	return all
}

func (c *Config) closeMaster(ctx context.Context, alias string) error {
	conn, err := c.dialMaster(ctx, alias)
	if conn == nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, masterTimeout)
	defer cancel()
	if _, err := c.control(ctx, alias, "-O", "exit"); err != nil {
		// It may have ended by itself meanwhile; ctx may have, too.
		if again, gone := c.dialMaster(context.WithoutCancel(ctx), alias); again != nil {
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
		return fmt.Errorf("ssh master of %s did not exit: %w", alias, err)
	}
	return nil
}

// control runs ssh against the control socket alone: no configuration is read,
// so a broken one cannot stop it.
func (c *Config) control(ctx context.Context, alias string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, masterTimeout)
	defer cancel()
	args = append([]string{"-F", "none", "-S", c.opts.Layout.ControlSocket(alias)}, args...)
	cmd := exec.CommandContext(ctx, c.opts.SSH, append(args, alias)...)
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
	return out.String(), problem.New(problem.SSHUnreachable, "the ssh master of %s does not answer: %w (%s)", alias, err, firstLine(out.String())).
		WithHint("close the terminals and editors that use %s", alias).Retry()
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
	if alive, err := c.MasterAlive(ctx, alias); err != nil || !alive {
		return false, err
	}
	out, err := c.control(ctx, alias, "-O", verb, "-R", f.flag())
	switch {
	case err == nil:
		return true, nil
	case verb == "cancel" && strings.Contains(out, "not forwarded"):
		return false, nil
	case verb == "forward" && strings.Contains(out, "forwarding"):
		return false, problem.New(problem.ForwardConflict, "%s cannot listen on %s: %s", machine, f.Listen, firstLine(out)).
			WithHint("something in the VM has that port, or another connection forwards it; choose another port")
	}
	return false, err
}
