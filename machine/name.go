package machine

import (
	"regexp"

	"github.com/nixvm/nixvm/internal/problem"
)

var (
	// A DNS label (RFC 1123), in lower case: safe as a file name, an SSH host
	// name, a libvirt domain's name and a hostname, and never an option.
	nameRE    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	profileRE = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	backendRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
	// What Linux takes as a host name (64 bytes), made of DNS labels.
	hostnameRE = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
)

// maxProfileName keeps a typed profile list readable in errors and file names.
const maxProfileName = 64

// ValidName returns nil when name may name a machine: a lower-case DNS label of
// 1 to 63 characters. Call it before name becomes part of any path; the problem
// is machine.name_invalid.
func ValidName(name string) error {
	if nameRE.MatchString(name) {
		return nil
	}
	return problem.New(problem.MachineNameInvalid, "%s is not a machine name", quote(name)).
		WithHint("use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit, e.g. claude-dev")
}

// reserved are the names that something else than a machine answers to, with what
// that is.
var reserved = map[string]string{
	"localhost":     "this computer",
	"ip6-localhost": "this computer, in the hosts file of Debian",
	"ip6-loopback":  "this computer, in the hosts file of Debian",
	"broadcasthost": "the broadcast address, in the hosts file of macOS",
}

// address is what ssh and the resolver take for an IPv4 address, as inet_aton(3)
// reads one number.
var address = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)

// NewName is ValidName for a machine that is to be made: its name must not mean
// something else to ssh or to the resolver. A machine that has such a name already
// keeps it. (A name that another machine's admin account answers to is sshconfig's
// to refuse, which knows the others.)
func NewName(name string) error {
	if err := ValidName(name); err != nil {
		return err
	}
	refused := func(why string, args ...any) error {
		return problem.New(problem.MachineNameInvalid, "a machine cannot be named "+name+": "+why, args...).WithHint("choose another name, e.g. vm-%s", name)
	}
	what, known := reserved[name]
	switch {
	case known:
		return refused("that is %s", what)
	case address.MatchString(name):
		return refused("ssh and other programs take it for an address")
	}
	return nil
}
