// Package names holds the rules for names that users choose: of machines, profiles,
// snapshots, network bridges and SSH hosts. A name that passes is safe as a file name, as
// an argument, in XML and on a line of ssh_config.
//
// Clients have no copy of these rules: nixvm/machine/check reports the problem of a name
// while it is being typed.
package names

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
)

var (
	// A DNS label (RFC 1123), in lower case: safe as a file name, an SSH host
	// name, a libvirt domain's name and a hostname, and never an option.
	machine = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	// The name of a file of the flake, less .nix; lib/profiles.nix of the flake has the
	// same rule.
	profile = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	// Different from options, paths and lists.
	snapshot = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	// An interface's name: at most 15 bytes (IFNAMSIZ with its NUL). The kernel
	// takes more characters than these, but a comma or a quote would not survive a
	// QEMU option or XML, and bridges have no such names.
	bridge = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$`)
	// As machine names, and with room for "-admin" after 63 characters.
	sshHost   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,67}[a-z0-9])?$`)
	sshPrefix = regexp.MustCompile(`^([a-z0-9][a-z0-9-]{0,31})?$`)
)

// BridgeHint says what to do about a name that IsBridge refuses.
const BridgeHint = "name a bridge that `ip link show type bridge` lists: at most 15 letters, digits, and . _ -"

// Machine returns nil when name may name a machine: a lower-case DNS label of
// 1 to 63 characters. Call it before name becomes part of any path; the problem
// is machine.name_invalid.
func Machine(name string) error {
	if IsMachine(name) {
		return nil
	}
	return problem.New(problem.MachineNameInvalid, "%s is not a machine name", quote(name)).
		WithHint("use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit, e.g. claude-dev")
}

// IsMachine reports whether name may name a machine.
func IsMachine(name string) bool { return machine.MatchString(name) }

// reserved returns what a name stands for if that is something other than a machine.
func reserved(name string) (meaning string, is bool) {
	switch name {
	case "localhost":
		return "this computer", true
	case "ip6-localhost", "ip6-loopback":
		return "this computer, in the hosts file of Debian", true
	case "broadcasthost":
		return "the broadcast address, in the hosts file of macOS", true
	}
	return "", false
}

// address is what ssh and the resolver take for an IPv4 address, as inet_aton(3)
// reads one number.
var address = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)

// NewMachine is Machine for a machine that is to be made: its name must not mean
// something else to ssh or to the resolver. An existing machine with such a name
// keeps it. (Package sshconfig refuses a name that another machine's admin account
// has: it knows the others.)
func NewMachine(name string) error {
	if err := Machine(name); err != nil {
		return err
	}
	refused := func(why string, args ...any) error {
		return problem.New(problem.MachineNameInvalid, "a machine cannot be named "+name+": "+why, args...).WithHint("choose another name, e.g. vm-%s", name)
	}
	meaning, is := reserved(name)
	switch {
	case is:
		return refused("that is %s", meaning)
	case address.MatchString(name):
		return refused("ssh and other programs take it for an address")
	}
	return nil
}

// Snapshot returns nil when name may name a new snapshot: 1 to 63 letters, digits,
// dots, hyphens and underscores, beginning with a letter or digit. The problem is
// snapshot.name_invalid. Snapshots that another program made have other names.
func Snapshot(name string) error {
	if snapshot.MatchString(name) {
		return nil
	}
	return problem.New(problem.SnapshotNameInvalid, "%s is not a snapshot name", quote(name)).
		WithHint("use letters, digits, dots, hyphens and underscores, at most 63, beginning with a letter or digit")
}

// IsProfile reports whether name may name a profile: 1 to 32 lower-case letters,
// digits and hyphens, beginning with a letter or digit.
func IsProfile(name string) bool { return profile.MatchString(name) }

// IsBridge reports whether name may name a bridge of a host.
func IsBridge(name string) bool { return bridge.MatchString(name) }

// IsSSHHost reports whether name may be an SSH host name of ours: the name of a
// machine, with a prefix or "-admin" or both.
func IsSSHHost(name string) bool { return sshHost.MatchString(name) }

// IsSSHPrefix reports whether prefix may begin our SSH host names; empty is none.
func IsSSHPrefix(prefix string) bool { return sshPrefix.MatchString(prefix) }

// quote shows an untrusted value on one line, shortened.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.Quote(s)
}

// separators are what becomes a hyphen in a suggested name.
var separators = regexp.MustCompile(`[^a-z0-9]+`)

// longestSuggestion leaves room for what is made of a name: snapshots, a number.
const longestSuggestion = 40

// Suggest returns a machine name that is made of any text, such as that of a
// directory, and is not taken: "My Project" is "my-project", or "my-project-2". A
// text that makes no good name is "agent".
func Suggest(text string, taken func(string) bool) string {
	base := strings.Trim(separators.ReplaceAllString(strings.ToLower(text), "-"), "-")
	if base == "" || len(base) > longestSuggestion || !IsMachine(base) {
		base = "agent"
	}
	if _, is := reserved(base); is {
		base = "agent"
	}
	for name, n := base, 2; ; n++ {
		if !taken(name) {
			return name
		}
		name = base + "-" + strconv.Itoa(n)
	}
}
