package api

// Profile is one composable mixin.
type Profile struct {
	// Name of the profile.
	Name string `json:"name"`
	// Description for people, one line.
	Description string `json:"description"`
	// Requires these profiles too.
	Requires []string `json:"requires"`
	// Conflicts with these.
	Conflicts []string `json:"conflicts,omitempty"`
	// Agent: an agent profile; private networks are blocked outbound.
	Agent bool `json:"agent"`
	// Images are the kinds of image that have it: "nixos", "trial".
	Images []string `json:"images"`
}

// ProfileListResult is the profiles that can be asked for.
type ProfileListResult struct {
	// Profiles ordered by name, core first. Those that a user has added to the
	// flake are among them.
	Profiles []Profile `json:"profiles"`
}
