package sshconfig

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/forward"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// Host is what one VM needs in the SSH configuration.
type Host struct {
	Name     string    // machine
	UUID     string    // names the pinned key: HostKeyAlias nixvm-<uuid>
	HostKey  string    // the guest's ed25519 public key, authorized_keys format
	Forwards []Forward // all of the machine's; those that are Held stay out of the configuration
	Endpoint string    // "address:port", Direct style only; empty = not known now
}

// Aliases are the names under which ssh knows a machine.
type Aliases struct {
	User  string // account "user"
	Admin string // account "admin"
}

// Aliases of a machine.
func (c *Config) Aliases(machine string) Aliases {
	return Aliases{User: c.opts.Prefix + machine, Admin: c.opts.Prefix + machine + adminSuffix}
}

// adminSuffix ends the alias of the account admin.
const adminSuffix = "-admin"

// Resolve is the opposite of Aliases: which machine and account ("user" or
// "admin") an alias means. Exists tells whether there is a machine of a name;
// it is asked because demo-admin may be a machine of its own.
func (c *Config) Resolve(alias string, exists func(machine string) bool) (machine, account string, ok bool) {
	name, found := strings.CutPrefix(alias, c.opts.Prefix)
	if !found || !names.IsSSHHost(name) {
		return "", "", false
	}
	if exists(name) {
		return name, "user", true
	}
	if base, admin := strings.CutSuffix(name, adminSuffix); admin && exists(base) {
		return base, "admin", true
	}
	return "", "", false
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (h Host) validate() error {
	if err := names.Machine(h.Name); err != nil {
		return err
	}
	if !uuidPattern.MatchString(h.UUID) {
		return problem.New(problem.MachineInvalid, "machine %s: %q is not a UUID", h.Name, h.UUID)
	}
	if _, err := parseHostKey(h.HostKey); err != nil {
		return problem.New(problem.MachineInvalid, "machine %s: its host key does not parse: %w", h.Name, err).
			WithHint("restore ssh_host_ed25519_key.pub in the machine's directory")
	}
	for _, f := range h.Forwards {
		if err := f.Validate(); err != nil {
			p := problem.From(err)
			return problem.New(problem.MachineInvalid, "machine %s, remote forward %q: %w", h.Name, f, err).WithHint("%s", p.Hint)
		}
	}
	if h.Endpoint != "" {
		if same, err := forward.ParseTarget(h.Endpoint); err != nil || same != h.Endpoint || isSocket(h.Endpoint) {
			return problem.New(problem.MachineInvalid, "machine %s: endpoint %q is not address:port", h.Name, h.Endpoint)
		}
	}
	return nil
}

// parseHostKey reads the pinned key. Only ed25519: it is the kind that nixvm
// generates and the only one that a Host block lets the guest offer.
func parseHostKey(line string) (ssh.PublicKey, error) {
	key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, err
	}
	if key.Type() != ssh.KeyAlgoED25519 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("want one %s key", ssh.KeyAlgoED25519)
	}
	return key, nil
}

func (h Host) keyAlias() string { return "nixvm-" + h.UUID }

// knownHost is the line of known_hosts.
func (h Host) knownHost() string {
	key, err := parseHostKey(h.HostKey)
	if err != nil {
		return ""
	}
	return h.keyAlias() + " " + string(ssh.MarshalAuthorizedKey(key))
}

// option is one line of a Host block.
type option struct{ keyword, value string }

// block is one Host block.
type block struct {
	machine string
	alias   string
	options []option
	text    string // as it stands in the file
}

func newBlock(machine, alias string, options []option) block {
	var s strings.Builder
	s.Grow(2048)
	for _, word := range []string{"Host ", alias, "\n"} {
		s.WriteString(word)
	}
	for _, o := range options {
		for _, word := range []string{"    ", o.keyword, " ", o.value, "\n"} {
			s.WriteString(word)
		}
	}
	return block{machine, alias, options, s.String()}
}

// blocks are the two of a VM.
func (c *Config) blocks(h Host) [2]block {
	a := c.Aliases(h.Name)
	return [2]block{
		newBlock(h.Name, a.User, c.options(h, a.User, "user")),
		newBlock(h.Name, a.Admin, c.options(h, a.Admin, "admin")),
	}
}

// recentOptions are those that not every ssh in use knows: 8.7 (2021) does. One
// that is not known would make ssh refuse the whole file.
var recentOptions = []option{
	{"PubkeyAcceptedAlgorithms", ssh.KeyAlgoED25519},
	{"KnownHostsCommand", "none"},
	{"SessionType", "default"},
	{"StdinNull", "no"},
	{"ForkAfterAuthentication", "no"},
}

// knowsRecent asks ssh whether it knows the recent options.
func (c *Config) knowsRecent() bool {
	ctx, cancel := context.WithTimeout(context.Background(), defaultVerifyTimeout)
	defer cancel()
	args := []string{"-G", "-F", "none"}
	for _, o := range recentOptions {
		args = append(args, "-o", o.keyword+"="+o.value)
	}
	cmd := exec.CommandContext(ctx, c.opts.SSH, append(args, "nixvm.invalid")...)
	cmd.WaitDelay = time.Second
	return cmd.Run() == nil
}

// options lists what a block sets. ssh takes the first value it finds, so what
// is set here overrides any `Host *` of the user's further down; most of the
// list is there for that reason alone. The table keywords has what is settled so.
func (c *Config) options(h Host, alias, account string) []option {
	opts := c.route(h)
	opts = append(opts, []option{
		{"User", account},
		{"HostKeyAlias", h.keyAlias()},
		{"UserKnownHostsFile", quoteArg(c.KnownHostsFile())},
		{"StrictHostKeyChecking", "yes"},
		{"UpdateHostKeys", "no"},
		{"HostKeyAlgorithms", ssh.KeyAlgoED25519},
		{"IdentityFile", quoteArg(c.IdentityFile())},
		{"IdentitiesOnly", "yes"},
		{"ServerAliveInterval", "15"},
		{"ServerAliveCountMax", "3"},
		{"ControlMaster", "auto"},
		// Until the VM stops: the forwards of an agent must not vanish because
		// no terminal was open for ten minutes.
		{"ControlPersist", "yes"},
		// %r: `ssh admin@demo` must not make the connection that `ssh demo` uses.
		{"ControlPath", quoteArg(c.opts.Layout.ControlSocket(alias, "%r"))},
		// A second, independent connection (TRAMP makes one) only fails to
		// bind the forwards again; as an error it could not connect at all.
		{"ExitOnForwardFailure", "no"},
		{"ClearAllForwardings", "no"},
		{"ForwardAgent", "no"},
		{"ForwardX11", "no"},
		{"LogLevel", "ERROR"},
		// A hostile guest must not get to ask for a password.
		{"PreferredAuthentications", "publickey"},
		{"PubkeyAuthentication", "yes"},
		{"PasswordAuthentication", "no"},
		{"KbdInteractiveAuthentication", "no"},
		{"HostbasedAuthentication", "no"},
		{"AddKeysToAgent", "no"},
		{"IdentityAgent", "none"},
		{"PKCS11Provider", "none"},
		// Each of these could bypass the pinned key or the route.
		{"GlobalKnownHostsFile", "none"},
		{"RevokedHostKeys", "none"},
		{"NoHostAuthenticationForLocalhost", "no"},
		{"VerifyHostKeyDNS", "no"},
		{"CheckHostIP", "no"},
		{"CanonicalizeHostname", "no"},
		{"AddressFamily", "any"},
		// And these what a program that runs ssh relies on.
		{"PermitLocalCommand", "no"},
		{"RemoteCommand", "none"},
		{"RequestTTY", "auto"},
		{"Tunnel", "no"},
		{"GatewayPorts", "no"},
		// The first line wins: the user's, which may have secrets, do not count.
		{"SetEnv", "NIXVM=1"},
	}...)
	if c.recent() {
		opts = append(opts, recentOptions...)
	}
	if account != "user" {
		return opts
	}
	for _, f := range h.Forwards {
		if !f.Held() {
			listen, target := f.Args()
			opts = append(opts, option{"RemoteForward", listen + " " + target})
		}
	}
	return opts
}

// unresolvable is a HostName that no resolver answers (RFC 2606), so that a
// client which ignores ProxyCommand fails at once and asks no network.
func unresolvable(machine string) string { return machine + ".nixvm.invalid" }

// route is how a block reaches the VM.
func (c *Config) route(h Host) []option {
	if c.opts.Style == Proxy {
		return []option{
			{"HostName", unresolvable(h.Name)},
			{"Port", "22"},
			{"ProxyCommand", c.proxyCommand()},
			{"ProxyUseFdpass", "no"},
			// Covers the start of the VM too; the proxy has its own, shorter
			// limits and says what is wrong.
			{"ConnectTimeout", "300"},
		}
	}
	opts := []option{{"ProxyCommand", "none"}, {"ConnectTimeout", "15"}}
	host, port, err := net.SplitHostPort(h.Endpoint)
	if err != nil {
		return append(opts, option{"HostName", unresolvable(h.Name)}, option{"Port", "22"})
	}
	return append(opts, option{"HostName", host}, option{"Port", port})
}

func (c *Config) proxyCommand() string {
	words := []string{quoteShell(c.opts.Executable)}
	for _, a := range c.opts.ProxyArgs {
		words = append(words, quoteShell(a))
	}
	return strings.Join(append(words, "proxy", "%n"), " ")
}
