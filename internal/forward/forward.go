// Package forward reads remote forwards: ways from the guest to the host. There is
// one grammar, for what a person types, what stands in a machine directory and
// what is written into an SSH configuration. It is a part of that of RemoteForward
// in ssh_config(5), without all that ssh or a shell would expand.
package forward

import (
	"net"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nixvm/nixvm/internal/problem"
)

// Forward is one remote forward: the guest listens, the host is dialled.
type Forward struct {
	Listen string // in the guest: "[bind:]port" or an absolute socket path
	Target string // on the host: "host:port" or an absolute socket path
	Daemon bool   // held by the daemon's own connection (always so for unix sockets of the guest)
}

const (
	hint       = "write the port in the guest and the destination on this host, e.g. 8080 127.0.0.1:8080, or 8080 host:port daemon"
	socketHint = "use an absolute path without . and .., of at most 100 letters, digits, and . _ / @ + , - characters"
	// A unix socket's address holds 108 bytes, and sshd binds a temporary name.
	maxSocketPath = 100
	maxHost       = 253
)

var (
	// A path that means the same in ssh_config, where blanks, quotes, %, $, ~
	// and : do not stand for themselves.
	socketRE = regexp.MustCompile(`^/[A-Za-z0-9._/@+,-]+$`)
	// DNS names, the absolute ones with a dot at the end among them, and nothing
	// that ssh would expand or take for an option.
	hostRE = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)
)

// Parse reads one forward as it stands after RemoteForward in ssh_config(5):
// "[bind_address:]port host:hostport", where either side may be the absolute path
// of a unix socket, and the last word daemon may follow. The spelling of ssh -R,
// with one colon more and no blank, is taken too. A forward without a target
// (SOCKS) is refused: it would open the host's network to the guest.
//
// Two spellings of one forward give the same value. The problem is params.invalid.
func Parse(s string) (Forward, error) {
	var f Forward
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }) {
		return f, invalid(hint, "%s is not one line of text", quote(s))
	}
	words := strings.Fields(s)
	if n := len(words); n > 1 && words[n-1] == "daemon" {
		f.Daemon, words = true, words[:n-1]
	}
	switch len(words) {
	case 2:
		f.Listen, f.Target = words[0], words[1]
	case 1:
		f.Listen, f.Target = split(words[0])
	}
	if f.Listen == "" || f.Target == "" {
		return Forward{}, invalid(hint, "%s is not a forward with a source and a target", quote(s))
	}
	var err error
	if f.Listen, err = parseListen(f.Listen); err != nil {
		return Forward{}, err
	}
	if f.Target, err = ParseTarget(f.Target); err != nil {
		return Forward{}, err
	}
	f.Daemon = f.Daemon || f.Unix()
	return f, nil
}

// Validate checks a Forward that was not made by Parse: its words must be those that
// Parse would have made. The problem is params.invalid.
func (f Forward) Validate() error {
	same, err := Parse(f.String())
	if err == nil && (same.Listen != f.Listen || same.Target != f.Target || same.Daemon != (f.Daemon || f.Unix())) {
		err = invalid(hint, "%s is not the canonical form of the forward %s", quote(f.String()), quote(same.String()))
	}
	return err
}

// Unix reports whether the guest's end is a unix socket.
func (f Forward) Unix() bool { return isSocket(f.Listen) }

// Held reports whether the forward belongs to the daemon's own connection: it is
// marked so, or one end is a unix socket, which a second client would steal.
func (f Forward) Held() bool { return f.Daemon || f.Unix() || isSocket(f.Target) }

// String is the line that Parse reads.
func (f Forward) String() string {
	s := f.Listen + " " + f.Target
	if f.Daemon && !f.Unix() {
		s += " daemon"
	}
	return s
}

// Args are the two arguments of RemoteForward. "localhost" is what ssh takes
// for a bare port; it is written out so that GatewayPorts in the guest cannot
// turn it into every interface.
func (f Forward) Args() (listen, target string) {
	listen = f.Listen
	if !f.Unix() && !strings.Contains(listen, ":") {
		listen = "localhost:" + listen
	}
	return listen, f.Target
}

// Flag is the argument of ssh -R.
func (f Forward) Flag() string {
	listen, target := f.Args()
	return listen + ":" + target
}

func isSocket(s string) bool { return strings.HasPrefix(s, "/") }

// split cuts "8080:localhost:80" before the target, which is the last two parts,
// or a path.
func split(s string) (listen, target string) {
	if i := strings.LastIndex(s, ":/"); i > 0 {
		return s[:i], s[i+1:]
	}
	end := strings.LastIndexByte(s, ':')
	if end < 0 {
		return "", ""
	}
	if i := strings.LastIndexByte(s[:end], '['); i > 0 && s[i-1] == ':' && s[end-1] == ']' {
		return s[:i-1], s[i:]
	}
	if i := strings.LastIndexByte(s[:end], ':'); i > 0 {
		return s[:i], s[i+1:]
	}
	return "", ""
}

func parseListen(s string) (string, error) {
	if isSocket(s) {
		return s, checkSocket(s)
	}
	host, port := "", s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i+1:]
		if host != "*" && host != "localhost" && !isAddress(host) {
			return "", invalid("write a port, or an address of the guest and a port, e.g. 127.0.0.1:8080 or [::1]:8080",
				"%s is not an address to listen on", quote(host))
		}
	}
	n, err := parsePort(port)
	if err != nil || host == "" {
		return n, err
	}
	return host + ":" + n, nil
}

// ParseTarget reads what is dialled: "host:port", or the absolute path of a
// socket. The problem is params.invalid.
func ParseTarget(s string) (string, error) {
	if isSocket(s) {
		return s, checkSocket(s)
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", invalid(hint, "%s is not host:port", quote(s))
	}
	host := s[:i]
	if !isAddress(host) && (len(host) > maxHost || !hostRE.MatchString(host)) {
		return "", invalid(hint, "%s is not a host", quote(host))
	}
	n, err := parsePort(s[i+1:])
	return host + ":" + n, err
}

// isAddress accepts an IPv4 address, or an IPv6 one in brackets.
func isAddress(host string) bool {
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		var closed bool
		if inner, closed = strings.CutSuffix(inner, "]"); !closed {
			return false
		}
	}
	a, err := netip.ParseAddr(inner)
	return err == nil && a.Zone() == "" && a.Is4() != bracketed
}

// parsePort refuses 0: ssh would choose a port that is not reported.
func parsePort(s string) (string, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return "", invalid("use a port from 1 to 65535", "%s is not a port", quote(s))
	}
	return strconv.FormatUint(n, 10), nil
}

func checkSocket(s string) error {
	if len(s) > maxSocketPath || !socketRE.MatchString(s) || path.Clean(s) != s {
		return invalid(socketHint, "%s is not a valid path of a socket", quote(s))
	}
	return nil
}

// Port is the TCP port that the guest listens on; 0 for a socket.
func (f Forward) Port() int {
	port := f.Listen
	if _, p, err := net.SplitHostPort(f.Listen); err == nil {
		port = p
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}

func invalid(hint, format string, args ...any) error {
	return problem.New(problem.BadParams, format, args...).WithHint("%s", hint)
}

// quote shows an untrusted value on one line, shortened.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
