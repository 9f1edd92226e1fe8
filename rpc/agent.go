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
		operation(api.MethodAgentPull, "Fetch a branch of a git repository in the guest into a checkout on the daemon's host, as refs/nixvm/MACHINE/BRANCH, which the operation names in ref. Nothing else in the checkout "+
			"changes: no branch, tag, work tree or submodule, and no hook runs. nixvm/agent/review then says what the branch adds.",
			func(ctx context.Context, s *session, p api.PullParams) (api.Operation, error) {
				p.Client = s.who()
				return s.srv.core.Pull(ctx, p)
			}, problem.MachineNotFound, problem.VMNotFound, problem.VMNotRunning, problem.VMBusy, problem.RepositoryNotFound, problem.PullFailed, problem.PullTooLarge, problem.DiskFull,
			problem.BackendMissing, problem.SSHUnreachable, problem.SSHHostKey),
		slow(api.MethodAgentReview, "What a pulled branch adds to the checkout since its merge base with HEAD: commits, files, and flags for the changes that could run on this host. Reads objects of git only.",
			func(ctx context.Context, s *session, p api.ReviewParams) (any, error) {
				return s.srv.core.Review(ctx, p)
			}, result[api.ReviewResult](problem.RepositoryNotFound, problem.BackendMissing)),
	}
}
