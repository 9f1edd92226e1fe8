package sshconfig

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/sshsettings"
)

// Inherited is what the user's own configuration adds to an entry of ours and no
// entry can switch off.
type Inherited struct {
	Machine string
	Alias   string
	Keyword string // as in ssh_config(5): "LocalForward"
	Value   string // as `ssh -G` prints it
	Where   string // the lines that may be it: "/home/me/.ssh/config:12"; empty = not found
}

// Opens reports whether it opens a way between the host and the guest.
func (i Inherited) Opens() bool { return keywords[strings.ToLower(i.Keyword)].care == opens }

// Effect says what it means, for people.
func (i Inherited) Effect() string { return keywords[strings.ToLower(i.Keyword)].why }

// String names the setting and its line.
func (i Inherited) String() string {
	s := i.Keyword + " " + clip(i.Value)
	if i.Where != "" {
		s += " (" + i.Where + ")"
	}
	return s
}

// spelling of the keywords that can be inherited.
var spelling = map[string]string{
	"remoteforward": "RemoteForward", "localforward": "LocalForward", "dynamicforward": "DynamicForward",
	"identityfile": "IdentityFile", "certificatefile": "CertificateFile", "sendenv": "SendEnv",
	"versionaddendum": "VersionAddendum", "gssapikeyexchange": "GSSAPIKeyExchange",
}

// Inherited lists what the entries of these machines have, or would have, from the
// user's configuration. It runs `ssh -G` only if the configuration has such lines
// at all. A configuration that ssh refuses gives nothing.
//
// Problems: those of ssh itself, as Apply has them.
func (c *Config) Inherited(ctx context.Context, machines ...string) ([]Inherited, error) {
	u, err := c.readUser()
	if err != nil || u.refused != "" || !c.mayAdd(u) {
		return nil, err
	}
	own, err := c.readOwn()
	if err != nil {
		return nil, err
	}
	blocks := split(own.config)
	var entries []Inherited
	for _, m := range machines {
		a := c.Aliases(m)
		entries = append(entries, Inherited{Machine: m, Alias: a.User}, Inherited{Machine: m, Alias: a.Admin})
	}
	found := make([][]Inherited, len(entries))
	err = c.askAll(ctx, len(entries), func(i int) string { return entries[i].Alias }, func(i int, a sshsettings.Settings) {
		found[i] = c.inherited(u, entries[i].Alias, blocks[entries[i].Alias], a)
		for j := range found[i] {
			found[i][j].Machine = entries[i].Machine
		}
	})
	return slices.Concat(found...), err
}

// CheckInherited refuses a new machine whose entries would inherit a forward.
// Problems: ssh.inherited, and those of Inherited.
func (c *Config) CheckInherited(ctx context.Context, machine string) error {
	in, err := c.Inherited(ctx, machine)
	if err != nil {
		return err
	}
	return c.refuseForwards(machine, in)
}

// refuseForwards is the problem of a machine that inherits a forward, if it does.
func (c *Config) refuseForwards(machine string, in []Inherited) error {
	if c.opts.AcceptForwards {
		return nil
	}
	for _, i := range in {
		if i.Opens() {
			return problem.New(problem.SSHInherited, "%s would inherit a forward that your own SSH configuration sets for every host: %s", machine, i).
				WithHint("%s. Move the line to the Host blocks that need it (ssh cannot turn it off for a single host), or set accept_forwards = true in the section [ssh] of config.toml", i.Effect())
		}
	}
	return nil
}

// mayAdd reports whether the user's configuration has a line that could add to an
// entry: most have none, and need not be asked.
func (c *Config) mayAdd(u userFile) bool {
	found := false
	c.walkAll(u, "", func(d directive) bool {
		_, adds := spelling[canonical(d.keyword)]
		found = adds && (d.keyword != "sendenv" || slices.ContainsFunc(d.args, notLocale))
		return !found
	})
	return found
}

// canonical maps an older spelling that ssh still takes.
func canonical(keyword string) string {
	if keyword == "identityfile2" {
		return "identityfile"
	}
	return keyword
}

// notLocale tells variables from those of the locale, which Debian's own
// configuration sends to every host.
func notLocale(pattern string) bool {
	return pattern != "LANG" && pattern != "LANGUAGE" && !strings.HasPrefix(pattern, "LC_")
}

// inherited finds in ssh's answer what the block (its text) does not have.
func (c *Config) inherited(u userFile, alias, text string, a sshsettings.Settings) []Inherited {
	own := ownForwards(text)
	var all []Inherited
	add := func(keyword string, values ...string) {
		for _, v := range slices.Compact(values) {
			all = append(all, Inherited{Alias: alias, Keyword: spelling[keyword], Value: v})
		}
	}
	for _, keyword := range []string{"remoteforward", "localforward", "dynamicforward"} {
		for _, v := range a[keyword] {
			// 9.2 prints a LocalForward of a socket a second time, as this.
			again := keyword == "dynamicforward" && strings.HasPrefix(v, "/")
			if !again && (keyword != "remoteforward" || !slices.Contains(own, v)) {
				add(keyword, v)
			}
		}
	}
	add("identityfile", slices.DeleteFunc(slices.Clone(a["identityfile"]), func(v string) bool {
		return v == c.IdentityFile() || text == "" && defaultIdentity(v)
	})...)
	add("certificatefile", a["certificatefile"]...)
	add("sendenv", slices.DeleteFunc(slices.Clone(a["sendenv"]), func(v string) bool { return !notLocale(v) })...)
	if v := a.First("versionaddendum"); v != "" && v != "none" {
		add("versionaddendum", v)
	}
	if v := a.First("gssapikeyexchange"); sshsettings.Same(v, "yes") {
		add("gssapikeyexchange", v)
	}
	for i := range all {
		all[i].Where = c.lines(u, alias, strings.ToLower(all[i].Keyword))
	}
	return slices.DeleteFunc(all, func(i Inherited) bool {
		// Debian's default appears in no file: only explicit lines count.
		return i.Where == "" && !i.Opens()
	})
}

// defaultIdentity tells the keys that ssh offers to a host without an entry.
func defaultIdentity(path string) bool { return strings.HasPrefix(path, "~/.ssh/id_") }

// maxLines bounds how many lines are named for one keyword.
const maxLines = 3

// lines names the lines that may set a keyword for an alias.
func (c *Config) lines(u userFile, alias, keyword string) string {
	var where []string
	c.walkAll(u, alias, func(d directive) bool {
		if d.active && canonical(d.keyword) == keyword && (keyword != "sendenv" || slices.ContainsFunc(d.args, notLocale)) {
			where = append(where, fmt.Sprintf("%s:%d", d.file, d.line))
		}
		return len(where) < maxLines
	})
	return strings.Join(where, ", ")
}

// ownForwards are the RemoteForward lines of a block, as `ssh -G` prints them.
func ownForwards(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		keyword, args := parseDirective(line)
		if keyword == "remoteforward" && len(args) == 2 {
			all = append(all, printed(args[0])+" "+printed(args[1]))
		}
	}
	return all
}

// printed is how `ssh -G` writes one end of a forward.
func printed(end string) string {
	host, port, err := net.SplitHostPort(end)
	if err != nil {
		return end
	}
	return "[" + host + "]:" + port
}
