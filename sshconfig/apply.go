package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// Result says what an Apply did.
type Result struct {
	Written           []string    // machines whose entries are new or different
	Refused           []Refusal   // machines that were left out, or left as they were
	Inherited         []Inherited // what the user's own configuration adds to the entries that were verified
	Included          bool        // ssh reads our configuration, and the entries were verified
	UserConfigChanged bool        // the Include line was added or moved
	Backup            string      // copy of the user's file from before the first change; empty = there was no file
}

// Apply makes the SSH configuration that of exactly these hosts, and verifies
// the entries that are new or different with `ssh -G`. An empty list is Remove.
//
// A host that cannot be had (its name is taken, its values are not valid, ssh
// understands its entries differently) is left out, or as it was, and does not
// stop the others; it is in Result.Refused, and the error is the first of
// those. With ssh.config_read_only and ssh.config_refused our own files are in
// place and complete, and unverified: only what the hint says is missing, so
// callers may treat it as a warning; it may be joined to a refusal, so ask with
// problem.HasCode. With any other error, a cancelled context among them, nothing
// has changed.
//
// Problems: those of Refusal, ssh.config_read_only, ssh.config_refused,
// ssh.config_malformed (our markers, or ssh does not accept the file),
// backend.missing_program.
func (c *Config) Apply(ctx context.Context, hosts []Host) (Result, error) {
	if len(hosts) == 0 {
		return Result{}, c.Remove(ctx)
	}
	if _, err := c.Signer(); err != nil {
		return Result{}, err
	}
	if err := os.MkdirAll(c.opts.Layout.ControlDir(), 0o700); err != nil {
		return Result{}, fmt.Errorf("control sockets: %w", err)
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	mem, err := c.loadMemory()
	if err != nil {
		return Result{}, err
	}
	ch, err := c.plan(hosts)
	if err != nil {
		return Result{}, err
	}
	if len(ch.blocks) == 0 {
		return Result{Refused: ch.refused}, errors.Join(c.remove(ch.user, mem), firstRefusal(ch.refused))
	}
	return c.commit(ctx, ch, hosts, mem)
}

// commit writes, verifies, and takes back what does not hold.
func (c *Config) commit(ctx context.Context, ch *change, hosts []Host, mem memory) (Result, error) {
	check := ch.toVerify(c.unverified())
	if err := c.markUnverified(check); err != nil {
		return Result{}, err
	}
	res := Result{}
	next := ch.own(hosts)
	err := c.writeOwn(ch.prev, next)
	if err == nil {
		res.Backup, err = c.include(ch, mem)
	}
	if err != nil {
		return Result{}, errors.Join(err, c.rollback(ch, mem))
	}
	res.UserConfigChanged = ch.wrote != nil
	if ch.user.refused != "" {
		return c.unread(ch, nil)
	}
	if ch.missing() || ch.wrote != nil && len(check) == 0 {
		check = append(check, c.sample(ch, hosts))
	}
	verdicts, err := c.verify(ctx, ch.user, check)
	if err != nil && ch.missing() && errors.Is(err, errNotAccepted) {
		return c.unread(ch, err)
	}
	if err != nil {
		undone := c.rollback(ch, mem)
		return Result{}, errors.Join(c.asUserSeesIt(ctx, err, check[0].alias), undone)
	}
	if ch.missing() && slices.ContainsFunc(verdicts, func(v verdict) bool { return v.wrong != nil }) {
		return c.unread(ch, nil)
	}
	before := len(ch.refused)
	c.judge(ch, verdicts, &res)
	if len(ch.blocks) == 0 {
		return Result{Refused: ch.refused}, errors.Join(firstRefusal(ch.refused), c.rollback(ch, mem))
	}
	if len(ch.refused) > before {
		if err := c.writeOwn(next, ch.own(hosts)); err != nil {
			return Result{}, errors.Join(err, c.rollback(ch, mem))
		}
	}
	res.Included, res.Written, res.Refused = true, machines(ch.changed), ch.refused
	return res, errors.Join(firstRefusal(ch.refused), c.clearUnverified())
}

// unread is the end of a commit to a configuration that ssh does not read ours by:
// our files are in place, and the mark of what is unverified stays with them. why is
// what ssh says besides; nil = nothing.
func (c *Config) unread(ch *change, why error) (Result, error) {
	p := c.userProblem(ch.user)
	if why != nil {
		p.Message += "; besides, " + why.Error()
	}
	return Result{Written: machines(ch.changed), Refused: ch.refused}, errors.Join(firstRefusal(ch.refused), p)
}

// judge takes back the entries that do not mean what they should, and the new ones
// that would inherit a forward.
func (c *Config) judge(ch *change, verdicts []verdict, res *Result) {
	after := ch.user // as an editor shows it from now on
	if ch.wrote != nil {
		after.data = ch.wrote
	}
	inherited := map[string][]Inherited{}
	for _, v := range verdicts {
		if v.wrong != nil {
			ch.refuse(v.block.machine, c.shadowed(ch.user, *v.wrong))
		}
		for _, i := range v.inherited {
			i.Machine = v.block.machine
			inherited[i.Machine] = append(inherited[i.Machine], i)
		}
	}
	for _, machine := range slices.Sorted(maps.Keys(inherited)) {
		// Entries that are there already stay: taking a name away would not help.
		if ch.before[c.Aliases(machine).User] == "" {
			if err := c.refuseForwards(machine, inherited[machine]); err != nil {
				ch.refuse(machine, err)
				continue
			}
		}
		for _, i := range inherited[machine] {
			i.Where = c.lines(after, i.Alias, strings.ToLower(i.Keyword))
			res.Inherited = append(res.Inherited, i)
		}
	}
}

// asUserSeesIt is ssh's complaint about the user's file as it is again without our
// lines: the line number in it is then the one that their editor shows.
func (c *Config) asUserSeesIt(ctx context.Context, err error, alias string) error {
	if !errors.Is(err, errNotAccepted) {
		return err
	}
	if _, again := c.sshG(ctx, alias); errors.Is(again, errNotAccepted) {
		return again
	}
	return err
}

// missing reports whether the Include line is not there and cannot be added.
func (ch *change) missing() bool {
	return ch.user.locked() && !bytes.Equal(ch.spliced, ch.user.data)
}

// refuse leaves a machine's entries as they were; once is enough for both.
func (ch *change) refuse(machine string, err error) {
	for _, r := range ch.refused {
		if r.Machine == machine {
			return
		}
	}
	ch.refused = append(ch.refused, Refusal{machine, err})
	ch.revert(machine)
}

// toVerify lists what is new, and what a killed process left unverified.
func (ch *change) toVerify(left map[string]bool) []block {
	check := ch.changed[:len(ch.changed):len(ch.changed)]
	seen := map[string]bool{}
	for _, b := range check {
		seen[b.alias] = true
	}
	for _, b := range ch.blocks {
		if left[b.alias] && !seen[b.alias] && b.options != nil {
			check = append(check, b)
		}
	}
	return check
}

// sample is one block that tells whether our configuration is read at all.
func (c *Config) sample(ch *change, hosts []Host) block {
	for _, b := range ch.blocks {
		if b.options != nil {
			return b
		}
	}
	return c.blocks(hosts[0])[0]
}

// maxRetries bounds how often an edit starts again because the user's editor
// was faster.
const maxRetries = 5

// include puts the Include line into the user's file, if it may.
func (c *Config) include(ch *change, mem memory) (backup string, err error) {
	for range maxRetries {
		if ch.user.locked() || bytes.Equal(ch.spliced, ch.user.data) {
			return mem.Files[ch.user.path].Backup, nil
		}
		if backup, err = c.prepareUser(ch.user, mem); err != nil {
			return "", err
		}
		err = c.writeUser(ch.user, ch.spliced)
		if err == nil {
			ch.wrote = ch.spliced
			return backup, nil
		}
		if problem.HasCode(err, problem.SSHConfigReadOnly) {
			ch.user.readOnly = err.Error()
			return backup, nil
		}
		if !errors.Is(err, errChanged) {
			return "", err
		}
		if ch.user, err = c.readUser(); err != nil {
			return "", err
		}
		if ch.spliced, err = c.splice(c.opts.UserConfig, ch.user.data); err != nil {
			return "", err
		}
	}
	return "", problem.New(problem.SSHConfigReadOnly, "%s keeps changing while nixvm tries to add its line", c.opts.UserConfig).
		WithHint("close the program that writes it, then try again; or add this line yourself: %s", c.IncludeLine()).Retry()
}

// rollback restores every byte that commit wrote.
func (c *Config) rollback(ch *change, mem memory) error {
	now, err := c.readOwn()
	if err == nil {
		err = c.writeOwn(now, ch.prev)
	}
	if ch.wrote != nil {
		err = errors.Join(err, c.restoreUser(ch, mem))
	}
	return errors.Join(err, c.clearUnverified(), c.forget(mem))
}

// restoreUser takes our line out of the user's file again: the old bytes if
// the file has not been written since, else by cutting only what is ours.
func (c *Config) restoreUser(ch *change, mem memory) error {
	for range maxRetries {
		u, err := c.readUser()
		if err != nil {
			return err
		}
		back := ch.user.data
		if !bytes.Equal(u.data, ch.wrote) {
			if back, err = c.unsplice(c.opts.UserConfig, u.data); err != nil {
				return err
			}
		}
		if err := c.putBack(u, back, mem); !errors.Is(err, errChanged) {
			return err
		}
	}
	return errChanged
}

// putBack writes the user's file without our line, or deletes it if nixvm
// created it and nothing else is in it.
func (c *Config) putBack(u userFile, data []byte, mem memory) error {
	fm := mem.Files[u.path]
	if !fm.Created || len(data) > 0 {
		if bytes.Equal(data, u.data) {
			return nil
		}
		return c.writeUser(u, data)
	}
	if u.info != nil {
		if err := atomicfile.Remove(u.path); err != nil {
			return err
		}
	}
	for i := len(fm.CreatedDirs) - 1; i >= 0; i-- {
		sweepTemps(fm.CreatedDirs[i])
		if os.Remove(fm.CreatedDirs[i]) != nil { // in use by now: then it stays
			break
		}
	}
	delete(mem.Files, u.path)
	if existing := existingParent(u.path); existing != filepath.Dir(u.path) {
		return atomicfile.SyncDir(existing)
	}
	return nil
}
