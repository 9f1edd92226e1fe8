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
