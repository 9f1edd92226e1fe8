package sshconfig

import (
	"net"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

// Forward is a remote forward: the guest listens, the host is dialled.
type Forward struct {
	Listen string // in the guest: "[bind:]port" or an absolute socket path
	Target string // on the host: "host:port" or an absolute socket path
	Daemon bool   // held by the daemon's own connection
}

// ParseForward reads one line as after RemoteForward in ssh_config(5), with an
// optional trailing word "daemon":
//
//	8080 localhost:3000
//	127.0.0.1:9222 [::1]:9222 daemon
//	/run/user/1000/agent.sock /home/me/.agent/host.sock
//
// The one-argument form of RemoteForward, a SOCKS proxy, is refused: it would
// open the host's whole network to the guest. Problems: machine.invalid.
func ParseForward(line string) (Forward, error) {
	if !printable(strings.ReplaceAll(line, "\t", " ")) {
		return Forward{}, badForward(line, "it is empty or has control characters")
	}
	f, words := Forward{}, strings.Fields(line)
	if len(words) == 3 && words[2] == "daemon" {
		f.Daemon, words = true, words[:2]
	}
	if len(words) != 2 {
		return Forward{}, badForward(line, "it needs two words, where the guest listens and what the host dials")
	}
	f.Listen, f.Target = words[0], words[1]
	if err := f.Validate(); err != nil {
		return Forward{}, err
	}
	return f, nil
}

// Validate checks a Forward that was not made by ParseForward. Problems: machine.invalid.
func (f Forward) Validate() error {
	if reason := checkListen(f.Listen); reason != "" {
		return badForward(f.String(), reason)
	}
	if reason := checkTarget(f.Target); reason != "" {
		return badForward(f.String(), reason)
	}
	return nil
}

func badForward(line, reason string) error {
	return problem.New(problem.MachineInvalid, "remote forward %q is not valid: %s", line, reason).
		WithHint(`write "[bind:]port host:port" or absolute socket paths, then optionally "daemon", e.g. "8080 localhost:3000"`)
}

// String is the line that ParseForward reads.
func (f Forward) String() string {
	if f.Daemon {
		return f.Listen + " " + f.Target + " daemon"
	}
	return f.Listen + " " + f.Target
}

// Held reports whether the forward belongs to the daemon's own connection: it
// is marked so, or it is a unix socket, which a second client would steal.
func (f Forward) Held() bool { return f.Daemon || isSocket(f.Listen) || isSocket(f.Target) }

func isSocket(s string) bool { return strings.HasPrefix(s, "/") }

// hostPattern takes DNS names and nothing that ssh would expand (% and ${).
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?$`)

func checkListen(s string) string {
	if isSocket(s) {
		return checkSocket(s)
	}
	if !strings.Contains(s, ":") {
		return checkPort(s)
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "the listening side is not [bind:]port"
	}
	if host != "*" && !isHost(host) {
		return "the bind address is not an address, a name or *"
	}
	return checkPort(port)
}

func checkTarget(s string) string {
	if isSocket(s) {
		return checkSocket(s)
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "the target is not host:port"
	}
	if !isHost(host) {
		return "the target is not an address or a host name"
	}
	return checkPort(port)
}

func isHost(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == "" || hostPattern.MatchString(s)
}

// checkPort refuses 0: ssh would choose a port that nobody is told.
func checkPort(s string) string {
	if n, err := strconv.ParseUint(s, 10, 16); err != nil || n == 0 || s[0] == '0' || s[0] == '+' {
		return "a port is a number from 1 to 65535"
	}
	return ""
}

// maxSocketPath is sun_path without its NUL.
const maxSocketPath = 107

func checkSocket(s string) string {
	switch {
	case len(s) > maxSocketPath:
		return "a socket path has at most 107 bytes"
	case path.Clean(s) != s || s == "/":
		return "a socket path must be absolute, without . or .. or a trailing slash"
	case !plain(s) || strings.Contains(s, ":"):
		return "a socket path is made of letters, digits and / . _ - + , @"
	}
	return ""
}

// args are the two arguments of RemoteForward. "localhost" is what ssh takes
// for a bare port; it is written out so that GatewayPorts in the guest cannot
// turn it into every interface.
func (f Forward) args() (listen, target string) {
	listen = f.Listen
	if !isSocket(listen) && !strings.Contains(listen, ":") {
		listen = "localhost:" + listen
	}
	return listen, f.Target
}

// flag is the argument of ssh -R.
func (f Forward) flag() string {
	listen, target := f.args()
	return listen + ":" + target
}
