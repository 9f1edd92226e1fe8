package libvirt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/sshsettings"
)

// destination is where ssh is to go, as a person writes it.
type destination struct{ user, host, port string }

// destination is the other host of a target, as its URI names it.
func (t target) destination() destination {
	return destination{user: t.Host.User.Username(), host: t.Host.Hostname(), port: t.Host.Port()}
}

// String is what ssh(1) takes.
func (d destination) String() string {
	s := d.host
	if d.user != "" {
		s = d.user + "@" + s
	}
	if d.port != "" && d.port != "22" {
		s = "-p " + d.port + " " + s
	}
	return s
}

// sshSettings are those of a destination: what a name means is decided by
// `ssh -G`, with the user's own configuration (docs/decisions/0008).
type sshSettings struct {
	user       string
	address    string // host:port to connect to
	alias      string // host:port under which known_hosts has the key
	identities []string
	onlyThese  bool   // IdentitiesOnly
	agent      string // socket; empty = none
	knownHosts []string
	jumps      []destination // ProxyJump, first to last
}

// resolveSSH asks ssh what it would do.
func resolveSSH(ctx context.Context, d destination) (sshSettings, error) {
	var args []string
	if own := os.Getenv("NIXVM_SSH_CONFIG"); own != "" {
		if _, err := os.Stat(own); errors.Is(err, fs.ErrNotExist) {
			own = "none" // nixvm's line is not in it yet
		}
		args = append(args, "-F", own)
	}
	if d.user != "" {
		args = append(args, "-l", d.user)
	}
	if d.port != "" {
		args = append(args, "-p", d.port)
	}
	cmd := exec.CommandContext(ctx, "ssh", append(args, "-G", "--", d.host)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return sshSettings{}, problem.New(problem.BackendMissing, "ssh is missing, which says what %s means", d.host).
			WithHint("Debian, Ubuntu: sudo apt install openssh-client; Fedora: sudo dnf install openssh-clients")
	}
	if err != nil {
		return sshSettings{}, problem.New(problem.SSHConfigMalformed, "ssh cannot say what %s means: %s", d.host, backends.OneLine(errs.String())).
			WithHint("ssh -G %s", d.host)
	}
	return parseSettings(string(out), d)
}

// parseSettings takes what matters from the output of `ssh -G`.
func parseSettings(text string, d destination) (sshSettings, error) {
	got := sshsettings.Parse(text)
	s := sshSettings{
		user: got.First("user"), onlyThese: got.Is("identitiesonly", "yes"),
		agent: os.Getenv("SSH_AUTH_SOCK"), address: net.JoinHostPort(got.First("hostname"), got.First("port")),
	}
	for _, file := range got["identityfile"] {
		s.identities = append(s.identities, expandHome(file))
	}
	if agent := got.First("identityagent"); agent != "" {
		s.agent = agentSocket(agent)
	}
	for _, files := range slices.Concat(got["userknownhostsfile"], got["globalknownhostsfile"]) {
		for f := range strings.FieldsSeq(files) {
			s.knownHosts = append(s.knownHosts, expandHome(f))
		}
	}
	if jumps := got.First("proxyjump"); jumps != "" && jumps != "none" {
		s.jumps = parseJumps(jumps)
	}
	if command := got.First("proxycommand"); command != "" && command != "none" {
		return s, problem.New(problem.ConfigInvalid, "the SSH configuration of %s has a ProxyCommand, which nixvm does not run", d.host).
			WithHint("use ProxyJump in its place")
	}
	s.alias = s.address
	if alias := got.First("hostkeyalias"); alias != "" {
		s.alias = net.JoinHostPort(alias, "22")
	}
	return s, nil
}

func agentSocket(value string) string {
	switch name, isVariable := strings.CutPrefix(value, "$"); {
	case value == "none":
		return ""
	case value == "SSH_AUTH_SOCK":
		return os.Getenv(value)
	case isVariable:
		return os.Getenv(name)
	}
	return expandHome(value)
}

func expandHome(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return path
}

// parseJumps reads [user@]host[:port],... and ssh:// URIs, as ssh -G prints them.
func parseJumps(value string) []destination {
	var list []destination
	for hop := range strings.SplitSeq(value, ",") {
		var d destination
		hop = strings.TrimPrefix(hop, "ssh://")
		if at := strings.LastIndexByte(hop, '@'); at >= 0 {
			d.user, hop = hop[:at], hop[at+1:]
		}
		if host, port, err := net.SplitHostPort(hop); err == nil {
			d.host, d.port = host, port
		} else {
			d.host = strings.Trim(hop, "[]")
		}
		list = append(list, d)
	}
	return list
}

// firstKey is the first usable line of a public key file; empty if there is none.
func firstKey(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) >= 2 {
			return fmt.Sprintf("%s %s", fields[0], fields[1])
		}
	}
	return ""
}
