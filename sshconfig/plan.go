package sshconfig

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// Refusal says why one host did not get its entries.
type Refusal struct {
	Machine string
	Err     error // a problem: ssh.name_taken, ssh.shadowed, ssh.inherited, machine.invalid, machine.name_invalid
}

// change is what an Apply would do, worked out without writing anything.
type change struct {
	user    userFile
	spliced []byte // what the user's file should be
	prev    ownFiles
	before  map[string]string // previous blocks by alias
	blocks  []block           // to be written
	changed []block           // those whose text is new
	refused []Refusal
	wrote   []byte // what commit put into the user's file, nil = nothing
}

// plan reads everything and decides. Nothing is written.
func (c *Config) plan(hosts []Host) (*change, error) {
	ch := &change{}
	var err error
	if ch.user, err = c.readUser(); err != nil {
		return nil, err
	}
	if ch.spliced, err = c.splice(c.opts.UserConfig, ch.user.data); err != nil {
		return nil, err
	}
	if ch.prev, err = c.readOwn(); err != nil {
		return nil, err
	}
	ch.before = split(ch.prev.config)
	c.admit(ch, hosts)
	return ch, nil
}

// admit decides which hosts get entries. Those that have some come first: a new
// machine never takes the name of an old one.
func (c *Config) admit(ch *change, hosts []Host) {
	hosts = slices.Clone(hosts)
	known := func(h Host) bool { return ch.before[c.Aliases(h.Name).User] != "" }
	slices.SortStableFunc(hosts, func(a, b Host) int {
		if known(a) != known(b) {
			if known(a) {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	taken := c.takenByUser(ch, hosts)
	owner := map[string]string{}
	for _, h := range hosts {
		if err := c.admissible(h, owner, taken); err != nil {
			ch.refused = append(ch.refused, Refusal{h.Name, err})
			ch.keep(c, h.Name, owner)
			continue
		}
		for _, b := range c.blocks(h) {
			owner[b.alias] = h.Name
			ch.blocks = append(ch.blocks, b)
			if ch.before[b.alias] != b.text {
				ch.changed = append(ch.changed, b)
			}
		}
	}
	slices.SortFunc(ch.blocks, func(a, b block) int { return strings.Compare(a.alias, b.alias) })
}

// takenByUser finds the new aliases among the user's own Host lines. Aliases
// that we have already stay: a later line of the user's must not break them.
func (c *Config) takenByUser(ch *change, hosts []Host) map[string]string {
	fresh := map[string]bool{}
	for _, h := range hosts {
		a := c.Aliases(h.Name)
		for _, alias := range []string{a.User, a.Admin} {
			if ch.before[alias] == "" {
				fresh[alias] = true
			}
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return c.taken(ch.user, fresh)
}

func (c *Config) admissible(h Host, owner, taken map[string]string) error {
	if err := h.validate(); err != nil {
		return err
	}
	a := c.Aliases(h.Name)
	for _, alias := range []string{a.User, a.Admin} {
		if err := clash(h.Name, alias, owner[alias], taken[alias]); err != nil {
			return err
		}
	}
	return nil
}

// keep leaves the old entries of a refused machine as they are.
func (ch *change) keep(c *Config, machine string, owner map[string]string) {
	a := c.Aliases(machine)
	for _, alias := range []string{a.User, a.Admin} {
		if text := ch.before[alias]; text != "" && owner[alias] == "" {
			owner[alias] = machine
			ch.blocks = append(ch.blocks, block{machine: machine, alias: alias, text: text})
		}
	}
}

// revert takes the entries of a machine back to what they were.
func (ch *change) revert(machine string) {
	var blocks []block
	for _, b := range ch.blocks {
		if b.machine != machine {
			blocks = append(blocks, b)
		} else if text := ch.before[b.alias]; text != "" {
			blocks = append(blocks, block{machine: machine, alias: b.alias, text: text})
		}
	}
	ch.blocks = blocks
	ch.changed = slices.DeleteFunc(ch.changed, func(b block) bool { return b.machine == machine })
}

// own renders our files. The pins of entries that stay as they were stay too,
// unless the list has a valid key for them.
func (ch *change) own(hosts []Host) ownFiles {
	if len(ch.blocks) == 0 {
		return ownFiles{}
	}
	pins := map[string]string{} // by HostKeyAlias
	for _, b := range ch.blocks {
		if b.options == nil {
			alias := keyAliasOf(b.text)
			pins[alias] = pinOf(ch.prev.knownHosts, alias)
		}
	}
	for _, h := range hosts {
		if line := h.knownHost(); line != "" && uuidPattern.MatchString(h.UUID) {
			pins[h.keyAlias()] = line
		}
	}
	known := slices.Sorted(maps.Values(pins))
	return ownFiles{render(ch.blocks), []byte(strings.Join(known, ""))}
}

// keyAliasOf is the HostKeyAlias that a block's text sets.
func keyAliasOf(text string) string {
	_, rest, _ := strings.Cut(text, "HostKeyAlias ")
	alias, _, _ := strings.Cut(rest, "\n")
	return alias
}

// pinOf is the line of a known_hosts file for an alias, empty if there is none.
func pinOf(knownHosts []byte, alias string) string {
	for line := range strings.Lines(string(knownHosts)) {
		if strings.HasPrefix(line, alias+" ") {
			return line
		}
	}
	return ""
}

// CheckName tells, before a machine is created, whether its SSH names are free
// among the hosts that there are and in the user's configuration. Problems:
// ssh.name_taken, machine.name_invalid, ssh.config_malformed.
func (c *Config) CheckName(name string, hosts []Host) error {
	if err := names.Machine(name); err != nil {
		return err
	}
	user, err := c.readUser()
	if err != nil {
		return err
	}
	owner := map[string]string{}
	for _, h := range hosts {
		a := c.Aliases(h.Name)
		owner[a.User], owner[a.Admin] = h.Name, h.Name
	}
	a := c.Aliases(name)
	taken := c.taken(user, map[string]bool{a.User: true, a.Admin: true})
	for _, alias := range []string{a.User, a.Admin} {
		if err := clash(name, alias, owner[alias], taken[alias]); err != nil {
			return err
		}
	}
	return nil
}

func clash(machine, alias, owner, where string) error {
	if owner != "" {
		return problem.New(problem.SSHNameTaken, "the SSH name %s of machine %s belongs to machine %s", alias, machine, owner).
			WithHint("choose another name: a machine m is also reachable as m-admin")
	}
	if where != "" {
		return problem.New(problem.SSHNameTaken, "the SSH name %s is in your own configuration, %s", alias, where).
			WithHint("choose another machine name, rename that Host, or set a prefix for nixvm's SSH names")
	}
	return nil
}

// machines names the machines of blocks, each once.
func machines(blocks []block) []string {
	var names []string
	for _, b := range blocks {
		names = append(names, b.machine)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func firstRefusal(refused []Refusal) error {
	if len(refused) == 0 {
		return nil
	}
	if more := len(refused) - 1; more > 0 {
		return fmt.Errorf("%w (and %d more)", refused[0].Err, more)
	}
	return refused[0].Err
}
