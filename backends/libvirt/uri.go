package libvirt

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

// target is a libvirtd, as its URI names it.
type target struct {
	Transport string // "" = unix socket of this host; "ssh"
	Session   bool   // the user's own libvirtd, not the system's
	Host      *url.URL
	Socket    string // path of the socket there; "" = the usual ones
	// Remote is the URI that the libvirtd itself understands.
	Remote string
}

// local reports whether libvirtd sees the files of this host.
func (t target) local() bool { return t.Transport == "" }

// where names the host for people.
func (t target) where() string {
	if t.local() {
		return "libvirt"
	}
	return t.Host.Hostname()
}

// virsh is the URI for virsh on this host.
func (t target) virsh() string {
	if t.local() {
		return t.Remote
	}
	u := *t.Host
	u.RawQuery = ""
	return u.Redacted()
}

const uriHint = "use qemu:///system, qemu:///session or qemu+ssh://user@host/system"

// checkURI refuses a URI that New would refuse; config.invalid says why.
func checkURI(uri string) error {
	if uri == "" {
		return nil
	}
	t, err := parseURI(uri)
	if err == nil && t.Transport == "ssh" {
		err = t.checkSSH()
	}
	return err
}

// parseURI reads a URI (https://libvirt.org/uri.html), of which we know the
// parts that target has.
func parseURI(s string) (target, error) {
	shown := "" // never with a password
	bad := func(why string) (target, error) {
		return target{}, problem.New(problem.ConfigInvalid, "the libvirt URI %s%s", shown, why).WithHint(uriHint)
	}
	u, err := url.Parse(s)
	if err != nil {
		return bad("cannot be read")
	}
	shown = strconv.Quote(u.Redacted()) + " "
	t := target{Host: u}
	driver, transport, _ := strings.Cut(u.Scheme, "+")
	t.Transport = transport
	for key, values := range u.Query() {
		switch key {
		case "socket":
			t.Socket = values[0]
		case "keyfile", "known_hosts", "known_hosts_verify", "no_verify", "sshauth": // of the transport
		default:
			return bad("has an unsupported parameter: " + key)
		}
	}
	switch t.Transport {
	case "", "unix":
		t.Transport = ""
		if u.Host != "" {
			return bad("names a host without a transport")
		}
	case "ssh":
		if u.Hostname() == "" {
			return bad("names no host")
		}
	default:
		return bad("has an unsupported transport: " + t.Transport)
	}
	switch {
	case driver == "qemu" && u.Path == "/system":
	case driver == "qemu" && u.Path == "/session":
		t.Session = true
	default:
		return bad("is not supported by nixvm")
	}
	t.Remote = driver + "://" + u.Path
	return t, nil
}
