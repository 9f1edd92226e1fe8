package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/agents"
	"github.com/nixvm/nixvm/internal/problem"
)

func agentMethods() []Method {
	return []Method{
		instant(api.MethodAgentList, "The agents that are available on a machine, from those that the user has configured. Answered from memory.",
			func(s *session, p api.AgentListParams) (any, error) {
				v, err := s.srv.core.Get(p.Name)
				if len(p.Agents) == 0 {
					p.Agents = agents.Default()
				}
				return api.AgentListResult{Agents: agents.Offered(v.Profiles, p.Agents)}, err
			}, result[api.AgentListResult](problem.MachineNotFound)),
		slow(api.MethodAgentCommand, "How to run an agent in the guest, or reattach to it. Neither the VM nor the agent is started.",
			func(ctx context.Context, s *session, p api.AgentCommandParams) (any, error) {
				a, err := s.srv.core.Attach(ctx, api.AttachParams{Name: p.Name, Directory: p.Directory})
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
				return api.AgentCommandResult{SSHHost: a.SSHHost, Directory: a.Directory, Session: session, Line: agents.Line(agent, a.Directory, tmux)}, nil
			}, result[api.AgentCommandResult](problem.MachineNotFound, problem.VMNotFound)),
	}
}
