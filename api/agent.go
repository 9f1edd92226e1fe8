package api

// Agent is a code agent that can run in a guest.
type Agent struct {
	// Name for people, and of the tmux session.
	Name string `json:"name"`
	// Command that starts it: a line for the login shell of the guest.
	Command string `json:"command"`
	// MissingProfile is the profile that installs it, if the machine does not have
	// that. Only in answers.
	MissingProfile string `json:"missingProfile,omitempty"`
}
