package machine

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

const (
	forwardHint = "write what the guest listens on and where it leads on this host, e.g. 8080 127.0.0.1:8080"
	socketHint  = "use an absolute path of at most 100 letters, digits, and . _ / @ + , - characters"
	// A unix socket's address holds 108 bytes, and sshd binds a temporary name.
	maxSocketPath = 100
)

var (
	// A path that means the same in ssh_config, where blanks, quotes, %, $, ~
	// and : do not stand for themselves.
	socketRE      = regexp.MustCompile(`^/[A-Za-z0-9._/@+,-]+$`)
	forwardHostRE = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,252})$`)
)

// ParseForward reads one forward as it stands after RemoteForward in
// ssh_config(5): "[bind_address:]port host:hostport", where either side may be
// the absolute path of a unix socket, and the last word daemon may follow. The
// spelling of ssh -R, with one colon more and no blank, is taken too. A forward
// without a target (SOCKS) is refused: it would open the host's network to the
// guest. The problem is params.invalid.
func ParseForward(s string) (RemoteForward, error) {
	var f RemoteForward
	words := strings.Fields(s)
	if n := len(words); n > 1 && words[n-1] == "daemon" {
		f.Daemon, words = true, words[:n-1]
	}
	switch len(words) {
	case 2:
		f.Listen, f.Target = words[0], words[1]
	case 1:
		f.Listen, f.Target = splitForward(words[0])
	}
	if f.Listen == "" || f.Target == "" {
		return RemoteForward{}, forwardProblem(forwardHint, "%s is not a forward with a source and a target", quote(s))
	}
	var err error
	if f.Listen, err = parseListen(f.Listen); err != nil {
		return RemoteForward{}, err
	}
	if f.Target, err = parseTarget(f.Target); err != nil {
		return RemoteForward{}, err
	}
	f.Daemon = f.Daemon || f.Unix()
	return f, nil
}

// Unix reports whether the guest's end is a unix socket.
func (f RemoteForward) Unix() bool { return strings.HasPrefix(f.Listen, "/") }

// String is the line of remote_forwards.
func (f RemoteForward) String() string {
	s := f.Listen + " " + f.Target
	if f.Daemon && !f.Unix() {
		s += " daemon"
	}
	return s
}

// splitForward cuts "8080:localhost:80" before the target, which is the last
// two parts, or a path.
func splitForward(s string) (listen, target string) {
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
	if s[0] == '/' {
		return s, checkSocket(s)
	}
	host, port := "", s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i+1:]
		if host != "*" && host != "localhost" && !isAddress(host) {
			return "", forwardProblem("write a port, or an address of the guest and a port, e.g. 127.0.0.1:8080 or [::1]:8080",
				"%s is not an address to listen on", quote(host))
		}
	}
	n, err := parsePort(port)
	if err != nil {
		return "", err
	}
	if host == "" {
		return n, nil
	}
	return host + ":" + n, nil
}

func parseTarget(s string) (string, error) {
	if s[0] == '/' {
		return s, checkSocket(s)
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", forwardProblem(forwardHint, "%s is not host:port", quote(s))
	}
	host := s[:i]
	if !isAddress(host) && !forwardHostRE.MatchString(host) {
		return "", forwardProblem(forwardHint, "%s is not a host", quote(host))
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

func parsePort(s string) (string, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return "", forwardProblem("use a port from 1 to 65535", "%s is not a port", quote(s))
	}
	return strconv.FormatUint(n, 10), nil
}

func checkSocket(path string) error {
	if len(path) > maxSocketPath || !socketRE.MatchString(path) || strings.HasSuffix(path, "/") {
		return forwardProblem(socketHint, "%s is not a path for a socket", quote(path))
	}
	return nil
}

func forwardProblem(hint, format string, args ...any) error {
	return problem.New(problem.BadParams, format, args...).WithHint("%s", hint)
}

func parseRemoteForwards(m *Machine, t text) error {
	all, err := t.lines()
	if err != nil {
		return err
	}
	taken := map[string]int{}
	for _, l := range all {
		f, err := ParseForward(withoutComment(l.text))
		if err != nil {
			p := problem.From(err)
			return t.fault(l.number, p.Hint, "%s", p.Message)
		}
		if before, twice := taken[f.Listen]; twice {
			fault := t.fault(l.number, "remove one of the two lines", "%s is forwarded by line %d already", f.Listen, before)
			fault.Code = problem.ForwardConflict
			return fault
		}
		taken[f.Listen] = l.number
		m.RemoteForwards = append(m.RemoteForwards, f)
	}
	return nil
}
