package sshconfig

import (
	"bytes"
	"context"
	"slices"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/nixvm/nixvm/internal/problem"
)

// Diff is what Apply would change.
type Diff struct {
	Files   []FileDiff // those that would change: the user's first
	Refused []Refusal  // hosts that would be left out
}

// FileDiff is one file's change.
type FileDiff struct {
	Path    string
	Unified string // as of diff -u
}

// Empty reports whether Apply would write nothing.
func (d Diff) Empty() bool { return len(d.Files) == 0 }

// String is all diffs together, for a person.
func (d Diff) String() string {
	var b bytes.Buffer
	for _, f := range d.Files {
		b.WriteString(f.Unified)
	}
	return b.String()
}

// Preview tells what Apply with the same hosts would write, without writing or
// verifying anything. With ssh.config_read_only or ssh.config_refused the Diff is
// complete all the same and shows the line that the user has to add.
func (c *Config) Preview(hosts []Host) (Diff, error) {
	ch, err := c.plan(hosts)
	if err != nil {
		return Diff{}, err
	}
	if len(ch.blocks) == 0 {
		if ch.spliced, err = c.unsplice(c.opts.UserConfig, ch.user.data); err != nil {
			return Diff{}, err
		}
	}
	next := ch.own(hosts)
	d := Diff{Refused: ch.refused}
	d.add(c.opts.UserConfig, ch.user.data, ch.spliced)
	d.add(c.ConfigFile(), ch.prev.config, next.config)
	d.add(c.KnownHostsFile(), ch.prev.knownHosts, next.knownHosts)
	if ch.missing() || ch.user.refused != "" {
		return d, c.userProblem(ch.user)
	}
	return d, nil
}

// Check tells whether ssh reads what Apply has written for these hosts, by asking it
// about one of them; nothing written is nothing to read, and then only whether ssh
// accepts the user's configuration. Problems: those of Apply.
func (c *Config) Check(ctx context.Context, hosts []Host) error {
	if err := c.CheckProgram(); err != nil {
		return err
	}
	ch, err := c.plan(hosts)
	if err != nil {
		return err
	}
	if ch.missing() || ch.user.refused != "" {
		return c.userProblem(ch.user)
	}
	i := slices.IndexFunc(ch.blocks, func(b block) bool { return b.options != nil && ch.before[b.alias] == b.text })
	if i < 0 {
		_, err := c.sshG(ctx, "nixvm.invalid")
		return err
	}
	verdicts, err := c.verify(ctx, ch.user, ch.blocks[i:i+1])
	if err == nil && verdicts[0].wrong != nil {
		return c.shadowed(ch.user, *verdicts[0].wrong)
	}
	return err
}

func (d *Diff) add(path string, before, after []byte) {
	if !bytes.Equal(before, after) {
		d.Files = append(d.Files, FileDiff{path, string(diff.Diff(path, slices.Clone(before), path, slices.Clone(after)))})
	}
}

func isReadOnly(err error) bool { return problem.HasCode(err, problem.SSHConfigReadOnly) }
