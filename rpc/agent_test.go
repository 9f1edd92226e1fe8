package rpc_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func TestAgentsAreThoseOfTheMachineAndOfTheUser(t *testing.T) {
	c, _ := connect(t, serve(t, newCore("demo")), "test") // its profiles are claude and dev
	list := call[api.AgentListResult](t, c, api.MethodAgentList, api.AgentListParams{Name: "demo"})
	if len(list.Agents) != 1 || list.Agents[0] != (api.Agent{Name: "claude", Command: "claude"}) {
		t.Errorf("of the images: %+v", list.Agents)
	}
	mine := []api.Agent{{Name: "open", Command: "opencode --x"}, {Name: "mine", Command: "./run"}}
	list = call[api.AgentListResult](t, c, api.MethodAgentList, api.AgentListParams{Name: "demo", Agents: mine})
	if len(list.Agents) != 1 || list.Agents[0].Name != "mine" {
		t.Errorf("of the user: %+v", list.Agents)
	}
	list = call[api.AgentListResult](t, c, api.MethodAgentList, api.AgentListParams{Name: "demo", Agents: mine[:1]})
	if len(list.Agents) != 1 || list.Agents[0].MissingProfile != "open-code" {
		t.Errorf("where none is left: %+v", list.Agents)
	}
}

func TestAnAgentsCommandNamesItsSession(t *testing.T) {
	c, _ := connect(t, serve(t, newCore("demo")), "test")
	r := call[api.AgentCommandResult](t, c, api.MethodAgentCommand, api.AgentCommandParams{Name: "demo", Agent: "claude", Command: "claude --continue"})
	if r.SSHHost != "demo" || r.Directory != "/home/user" || r.Session != "claude" || !strings.Contains(r.Line, "claude --continue") {
		t.Errorf("%+v", r)
	}
	alone := call[api.AgentCommandResult](t, c, api.MethodAgentCommand, api.AgentCommandParams{Name: "demo", Agent: "claude", Tmux: new(false)})
	if alone.Session != "claude" || alone.Line == r.Line {
		t.Errorf("without tmux: %+v", alone)
	}
	for field, params := range map[string]map[string]any{
		"agent":             {"name": "demo"},
		"agents[0].command": {"name": "demo", "agents": []map[string]any{{"name": "x"}}},
		"name":              {"agent": "claude"},
		"directory":         {"name": "demo", "agent": "x", "directory": "/a\nb"},
		"command":           {"name": "demo", "agent": "x", "command": "a\x00b"},
	} {
		method := api.MethodAgentCommand
		if strings.HasPrefix(field, "agents") {
			method = api.MethodAgentList
		}
		if p := wantCode(t, c.Call(context.Background(), method, params, nil), problem.BadParams); !strings.HasPrefix(p.Message, field+": ") {
			t.Errorf("%s: %q", field, p.Message)
		}
	}
	wantCode(t, c.Call(context.Background(), api.MethodAgentList, api.AgentListParams{Name: "nobody"}, nil), problem.MachineNotFound)
}
