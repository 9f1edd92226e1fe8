package api

// Profile is one composable set of packages and settings.
type Profile struct {
	// Name of the profile.
	Name string `json:"name"`
	// Description, one line.
	Description string `json:"description"`
	// Requires these profiles too.
	Requires []string `json:"requires"`
	// Conflicts with these.
	Conflicts []string `json:"conflicts,omitempty"`
	// Agent: an agent profile; outbound access to private networks is blocked.
	Agent bool `json:"agent"`
	// PCI: it needs a PCI device of the host, such as a GPU: a VM with it is refused by a
	// backend that cannot pass one through.
	PCI bool `json:"pci,omitempty"`
	// Images are the kinds of image that provide it: "nixos", "trial".
	Images []string `json:"images"`
}

// ProfileListResult is the available profiles.
type ProfileListResult struct {
	// Profiles ordered by name, core first, including those that the user has added to
	// the flake.
	Profiles []Profile `json:"profiles"`
}
