// Package agents makes the command lines that run code agents in guests.
//
// A line is for the login shell of the guest's user account, as ssh passes it on:
//
//	ssh -t demo -- LINE
//
// It goes to the project's directory and runs the agent there, in a tmux session
// where the guest has tmux: a lost connection does not end the agent, and the same
// line attaches to it again.
package agents

import (
	_ "embed"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/api"
)

// installable is an agent that images know.
type installable struct {
	profile string // the profile that installs it
	npm     string // its package, for the guest's own nixvm-agent-install
	script  string // what installs it on a guest without that
}

// known are the agents of the images, by the name of their program.
var known = map[string]installable{
	"claude":   {profile: "claude", npm: "@anthropic-ai/claude-code", script: "https://claude.ai/install.sh"},
	"opencode": {profile: "open-code", npm: "opencode-ai", script: "https://opencode.ai/install"},
}

// Default returns the agents of the images, for a user who has configured none.
func Default() []api.Agent {
	return []api.Agent{{Name: "claude", Command: "claude"}, {Name: "opencode", Command: "opencode"}}
}

// program matches the program that a command line begins with, unless that is
// more than a plain word.
var program = regexp.MustCompile(`^\s*([\w./@+-]+)(?:\s|$)`)

func programOf(command string) string {
	if m := program.FindStringSubmatch(command); m != nil {
		return m[1]
	}
	return ""
}

func knownAs(command string) (installable, bool) {
	a, ok := known[path.Base(programOf(command))]
	return a, ok
}

// Offered returns the agents to offer on a machine with these profiles, in the
// order of the list: those that images know only where a profile installs them,
// and every other one. Where none is left, all are: one may have been installed
// by hand.
func Offered(profiles []string, list []api.Agent) []api.Agent {
	var there, all []api.Agent
	for _, a := range list {
		a.MissingProfile = ""
		if k, ok := knownAs(a.Command); ok && !slices.Contains(profiles, k.profile) {
			a.MissingProfile = k.profile
		} else {
			there = append(there, a)
		}
		all = append(all, a)
	}
	if len(there) > 0 {
		return there
	}
	return all
}

// unsafe are the characters that tmux does not take in the name of a session, or
// that mean something in a target.
var unsafe = regexp.MustCompile(`[^A-Za-z0-9_-]`)

// Session returns the name of the tmux session of an agent in a directory of the
// guest: one per agent and project. The home is no project.
func Session(agent, directory string) string {
	name := agent
	if project := path.Base(path.Clean("/" + directory)); project != "/" && project != "user" {
		name += "-" + project
	}
	return unsafe.ReplaceAllString(name, "_")
}

var (
	//go:embed directory.sh
	directoryScript string
	//go:embed agent.sh
	agentScript string
)

// Line returns the line that starts an agent in a directory of the guest, or
// attaches to it again. An empty session runs it without tmux.
func Line(a api.Agent, directory, session string) string {
	own, otherwise := "", ""
	if k, ok := knownAs(a.Command); ok {
		own, otherwise = "nixvm-agent-install "+k.npm, "curl -fsSL "+k.script+" | bash"
	}
	words := []string{directoryScript, "sh", directory, session, agentScript, a.Name, a.Command, programOf(a.Command), own, otherwise}
	for i, w := range words {
		words[i] = quote(w)
	}
	return `exec "${SHELL:-/bin/sh}" -lc ` + quote("exec /bin/sh -c "+strings.Join(words, " "))
}

// quote makes one word of a POSIX shell of any text.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
