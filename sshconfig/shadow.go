package sshconfig

import (
	"fmt"

	"github.com/nixvm/nixvm/internal/problem"
)

// taken returns the first Host line in the user's files that names alias
// literally, e.g. "/home/me/.ssh/config:12".
func (c *Config) taken(u userFile, aliases map[string]bool) map[string]string {
	where := map[string]string{}
	c.walk(u, "", func(d directive) bool {
		if d.keyword == "host" {
			for _, p := range d.args {
				if aliases[p] && where[p] == "" {
					where[p] = fmt.Sprintf("%s:%d", d.file, d.line)
				}
			}
		}
		return true
	})
	return where
}

// shadowed names the line that wins over ours: the first that sets the same
// keyword for the alias.
func (c *Config) shadowed(u userFile, m mismatch) *problem.Error {
	where := ""
	c.walkAll(u, m.block.alias, func(d directive) bool {
		if d.active && (d.keyword == m.keyword || d.keyword == rival[m.keyword]) {
			where = fmt.Sprintf("%s:%d", d.file, d.line)
		}
		return where == ""
	})
	p := problem.New(problem.SSHShadowed, "the SSH entry %s is not in effect: %s is %q instead of %q", m.block.alias, m.keyword, clip(m.got), clip(m.want))
	if where == "" {
		return p.WithHint("move this line to the top of %s: %s", c.opts.UserConfig, c.IncludeLine())
	}
	p.Message += ", set by " + where
	return p.WithHint("move this line to the top of %s, above %s: %s", c.opts.UserConfig, where, c.IncludeLine())
}

// rival options exclude one another: whichever comes first wins.
var rival = map[string]string{"proxycommand": "proxyjump"}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
