package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"os"

	"github.com/nixvm/nixvm/internal/problem"
)

// Remove takes everything out again: the Include line, our configuration and
// the pinned keys. The user's file has then the bytes that it would have had
// without nixvm; a file or directory that nixvm created is deleted if it is
// empty. The client key stays, as the VMs' disks know it, and so does the
// backup. Remove of what is not there does nothing.
//
// Problems: ssh.config_malformed (nothing was touched), ssh.config_read_only
// (our own files are gone, so the line that is left has no effect).
func (c *Config) Remove(ctx context.Context) error {
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	mem, err := c.loadMemory()
	if err != nil {
		return err
	}
	user, err := c.readUser()
	if err != nil {
		return err
	}
	return c.remove(user, mem)
}

// remove is Remove under the lock.
func (c *Config) remove(user userFile, mem memory) error {
	err := c.excludeUser(user, mem)
	if err != nil && !isReadOnly(err) {
		return err
	}
	prev, rerr := c.readOwn()
	if rerr == nil && (prev.config != nil || prev.knownHosts != nil) {
		rerr = c.writeOwn(prev, ownFiles{})
	}
	return errors.Join(err, rerr, c.clearUnverified(), c.forget(mem))
}

// excludeUser takes our line out of the user's file.
func (c *Config) excludeUser(user userFile, mem memory) error {
	for range maxRetries {
		data, err := c.unsplice(c.opts.UserConfig, user.data)
		if err != nil {
			return err
		}
		if user.readOnly != "" {
			if bytes.Equal(data, user.data) {
				return nil
			}
			s, _ := c.ours(c.opts.UserConfig, user.data)
			return problem.New(problem.SSHConfigReadOnly, "cannot remove the Include line from %s: %s", c.opts.UserConfig, user.readOnly).
				WithHint("delete lines %d and %d of it; they no longer have any effect", s.line, s.line+1)
		}
		if err := c.putBack(user, data, mem); !errors.Is(err, errChanged) {
			return err
		}
		if user, err = c.readUser(); err != nil {
			return err
		}
	}
	return errChanged
}

// forget drops what need not be remembered without hosts.
func (c *Config) forget(mem memory) error {
	if len(mem.Files) > 0 {
		return c.saveMemory(mem)
	}
	if err := os.Remove(c.statePath()); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
