package machine

import "regexp"

var (
	profileRE = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	backendRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
	// What Linux takes as a host name (64 bytes), made of DNS labels.
	hostnameRE = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
)

// maxProfileName keeps a typed profile list readable in errors and file names.
const maxProfileName = 64
