package rpc

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/agents"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

// AgentListParams asks which agents make sense on a machine.
type AgentListParams struct {
	Tokens
	// Name of the machine.
	Name string `json:"name"`
	// Agents that the user has configured, in the order to offer them; absent or
	// empty = those of the images, claude and opencode.
	Agents []api.Agent `json:"agents,omitempty"`
}

// Validate implements params.
func (p AgentListParams) Validate() error {
	for i, a := range p.Agents {
		at := func(field string) string { return fmt.Sprintf("agents[%d].%s", i, field) }
		err := firstError(checkRequired(at("name"), a.Name), checkLine(at("name"), a.Name),
			checkRequired(at("command"), a.Command), checkText(at("command"), a.Command, maxLine))
		if err != nil {
			return err
		}
	}
	return checkName(p.Name)
}

// AgentListResult is the agents that make sense on a machine.
type AgentListResult struct {
	// Agents in the order to offer them. One of the images is there if a profile of
	// the machine installs it, any other one always; if none is left, all are.
	Agents []api.Agent `json:"agents"`
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

// Validate implements params.
func (p AgentCommandParams) Validate() error {
	return firstError(checkName(p.Name), checkRequired("agent", p.Agent), checkLine("agent", p.Agent),
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
	// terminal. It starts the agent, or attaches to the session in which it runs;
	// an agent that is not installed is offered to be.
	Line string `json:"line"`
}

func agentMethods() []Method {
	return []Method{
		instant(MethodAgentList, "The agents that make sense on a machine, out of those that the user has. Answered from memory.",
			func(s *session, p AgentListParams) (any, error) {
				v, err := s.srv.core.Get(p.Name)
				if len(p.Agents) == 0 {
					p.Agents = agents.Default()
				}
				return AgentListResult{Agents: agents.Offered(v.Profiles, p.Agents)}, err
			}, result[AgentListResult](problem.MachineNotFound)),
		slow(MethodAgentCommand, "How to run an agent in the guest, or come back to it. Nothing is started, neither the VM nor the agent.",
			func(ctx context.Context, s *session, p AgentCommandParams) (any, error) {
				a, err := s.srv.core.Attach(ctx, vm.AttachRequest{Name: p.Name, Directory: p.Directory})
				if err != nil {
					return nil, err
				}
				agent := api.Agent{Name: p.Agent, Command: p.Command}
				if agent.Command == "" {
					agent.Command = agent.Name
				}
				session := agents.Session(agent.Name, a.Directory)
				tmux := session
				if p.Tmux != nil && !*p.Tmux {
					tmux = ""
				}
				return AgentCommandResult{SSHHost: a.SSHHost, Directory: a.Directory, Session: session, Line: agents.Line(agent, a.Directory, tmux)}, nil
			}, result[AgentCommandResult](problem.MachineNotFound, problem.VMNotFound)),
	}
}
