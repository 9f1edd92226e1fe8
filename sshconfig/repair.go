package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/damaged"
)

// Repaired is what Repair did.
type Repaired struct {
	Notices []string // a sentence each, for people
	// NewKey is set when the client key could not be read and another one was made:
	// its line for authorized_keys. OldKey is the one that it takes the place of;
	// empty = that cannot be read either.
	NewKey, OldKey string
}

// Repair makes our own files again that cannot be read, and keeps the damaged ones
// beside them. The Host blocks and pinned keys are not its business: Apply writes
// them whole. Files in order are left alone.
func (c *Config) Repair(ctx context.Context) (Repaired, error) {
	unlock, err := c.lock(ctx)
	if err != nil {
		return Repaired{}, err
	}
	defer unlock()
	var r Repaired
	return r, errors.Join(c.repairMemory(&r), c.repairKey(&r))
}

// repairMemory finds out again what was done around the user's configuration. A
// file that was there before us has a copy; one without a copy we have made.
func (c *Config) repairMemory(r *Repaired) error {
	_, err := c.loadMemory()
	if !errors.Is(err, errDamaged) {
		return err
	}
	user, err := c.readUser()
	if err != nil {
		return err
	}
	aside, err := damaged.SetAside(c.statePath())
	if err != nil {
		return err
	}
	m := memory{Version: 1, Files: map[string]fileMemory{}}
	if place, perr := c.ours(c.opts.UserConfig, user.data); perr == nil && place != nil && user.info != nil {
		copies, err := filepath.Glob(filepath.Join(c.dir, backupPattern))
		if err != nil {
			return err
		}
		fm := fileMemory{Created: len(copies) == 0}
		if len(copies) > 0 {
			slices.Sort(copies) // the names hold the time
			fm.Backup = copies[0]
		}
		m.Files[user.path] = fm
	}
	if err := c.saveMemory(m); err != nil {
		return err
	}
	r.Notices = append(r.Notices, fmt.Sprintf("the file %s was damaged and has been recreated; the damaged file is kept as %s", c.statePath(), aside))
	return nil
}

// repairKey makes another client key when ours cannot be read, and the public
// half again when it does not belong to the private one.
func (c *Config) repairKey(r *Repaired) error {
	pub := c.IdentityFile() + ".pub"
	public, perr := os.ReadFile(pub)
	signer, err := c.readKey()
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil // made when it is first needed
	case err == nil && (perr != nil || !bytes.Equal(public, publicLine(signer))):
		if key, _, _, _, err := ssh.ParseAuthorizedKey(public); err == nil && bytes.Equal(key.Marshal(), signer.PublicKey().Marshal()) {
			return nil // with another comment
		}
		aside, err := damaged.SetAside(pub)
		if err != nil {
			return err
		}
		r.Notices = append(r.Notices, fmt.Sprintf("the file %s was damaged or missing and has been recreated from the private key; %s", pub, keptAs(aside)))
		return atomicfile.Write(pub, publicLine(signer), 0o644)
	case err == nil:
		return nil
	case !errors.Is(err, errDamaged):
		return err
	}
	if key, comment, _, _, err := ssh.ParseAuthorizedKey(public); err == nil {
		r.OldKey = strings.TrimSuffix(strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n")+" "+comment, " ")
	}
	aside, err := damaged.SetAside(c.IdentityFile())
	if err != nil {
		return err
	}
	if signer, err = c.generateKey(); err != nil {
		return err
	}
	r.NewKey = strings.TrimSuffix(string(publicLine(signer)), "\n")
	r.Notices = append(r.Notices, fmt.Sprintf("the client key %s was damaged and a new one has been generated; %s. "+
		"VMs take the new key at their next start; a mutable VM that has been started before needs it added on its console",
		c.IdentityFile(), keptAs(aside)))
	return nil
}

func keptAs(aside string) string {
	if aside == "" {
		return "there was no old file to keep"
	}
	return "the damaged file is kept as " + aside
}
