package sshconfig

import (
	"bytes"
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
// running anything. With ssh.config_read_only the Diff is complete all the same
// and shows the line that the user has to add.
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
	if ch.missing() {
		return d, c.readOnlyProblem(ch.user)
	}
	return d, nil
}

func (d *Diff) add(path string, before, after []byte) {
	if !bytes.Equal(before, after) {
		d.Files = append(d.Files, FileDiff{path, string(diff.Diff(path, slices.Clone(before), path, slices.Clone(after)))})
	}
}

func isReadOnly(err error) bool { return problem.HasCode(err, problem.SSHConfigReadOnly) }
