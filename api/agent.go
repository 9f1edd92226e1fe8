package api

import (
	"cmp"
	"fmt"
)

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

// AgentListParams asks which agents are available on a machine.
type AgentListParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
	// Agents that the user has configured, in display order; absent or empty =
	// those of the images, claude and opencode.
	Agents []Agent `json:"agents,omitempty"`
}

// Validate implements Params.
func (p AgentListParams) Validate() error {
	for i, a := range p.Agents {
		at := func(field string) string { return fmt.Sprintf("agents[%d].%s", i, field) }
		err := cmp.Or(checkRequired(at("name"), a.Name), checkLine(at("name"), a.Name),
			checkRequired(at("command"), a.Command), checkText(at("command"), a.Command, maxLine))
		if err != nil {
			return err
		}
	}
	return checkName(p.Name)
}

// AgentListResult is the agents that are available on a machine.
type AgentListResult struct {
	// Agents in display order. An agent of the images is listed if a profile of the
	// machine installs it, any other one always; if none is left, all are listed.
	Agents []Agent `json:"agents"`
}

// AgentCommandParams asks how to run an agent in a guest.
type AgentCommandParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
	// Agent is its name.
	Agent string `json:"agent"`
	// Command that starts it; absent = its name.
	Command string `json:"command,omitempty"`
	// Directory in the guest; absent = the home.
	Directory string `json:"directory,omitempty"`
	// Tmux: run it in a tmux session, if the guest has tmux, so that it outlives the
	// connection. Absent = true.
	Tmux *bool `json:"tmux,omitempty"`
}

// Validate implements Params.
func (p AgentCommandParams) Validate() error {
	return cmp.Or(checkName(p.Name), checkRequired("agent", p.Agent), checkLine("agent", p.Agent),
		checkText("command", p.Command, maxLine), checkLine("directory", p.Directory))
}

// AgentCommandResult is how to run an agent in a guest.
type AgentCommandResult struct {
	// SSHHost for ssh(1).
	SSHHost string `json:"sshHost"`
	// Directory in the guest.
	Directory string `json:"directory"`
	// Session is a name for the agent in that directory: of the tmux session, and
	// for the title of a terminal.
	Session string `json:"session"`
	// Line for the shell of the guest, to be run by "ssh -t HOST -- LINE" in a
	// terminal. It starts the agent, or attaches to the session in which it is running;
	// if the agent is not installed, it offers to install it.
	Line string `json:"line"`
}
