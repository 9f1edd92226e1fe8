package agents

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
)

// guest is a home and programs that a line finds beside those of the system.
type guest struct {
	t    *testing.T
	bin  string
	path string
}

func newGuest(t *testing.T) guest {
	t.Helper()
	bin := t.TempDir()
	g := guest{t: t, bin: bin, path: bin + ":/usr/bin:/bin"}
	g.install("login", `[ "$1" = -lc ] || { echo a shell; exit; }`+"\n"+`exec /bin/sh -c "$2"`)
	return g
}

func (g guest) install(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil { //nolint:gosec // a program
		g.t.Fatal(err)
	}
}

// run gives the line to a shell as ssh does, and returns all that it says.
func (g guest) run(line, input string) string {
	g.t.Helper()
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Env = []string{"PATH=" + g.path, "SHELL=" + filepath.Join(g.bin, "login"), "TERM=dumb"}
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Logf("%v", err)
	}
	return string(out)
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not say %q", text, p)
		}
	}
}

func TestAnAgentRunsInItsDirectoryWhateverThatIsCalled(t *testing.T) {
	g := newGuest(t)
	dir := filepath.Join(t.TempDir(), `it's a "dir" $HOME `+"`id`")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	got := g.run(Line(api.Agent{Name: "x", Command: `pwd; printf '%s|' "it's $((1+1))"`}, dir, ""), "")
	if got != dir+"\nit's 2|" {
		t.Errorf("got %q", got)
	}
	contains(t, g.run(Line(api.Agent{Name: "x", Command: "pwd"}, "/does/not/exist", ""), "\n"), "exist", "Press Enter to close")
}

func TestAnAgentThatIsNotInstalledCanBe(t *testing.T) {
	g := newGuest(t)
	claude := Line(api.Agent{Name: "claude", Command: "claude --help"}, "/tmp", "")
	contains(t, g.run(claude, "n\n"), "claude is not installed in this VM", "curl -fsSL https://claude.ai/install.sh | bash", "Install it now? [y/N]", "a shell\n")
	contains(t, g.run(Line(api.Agent{Name: "mine", Command: "my-agent"}, "/tmp", ""), ""), "my-agent is not installed", "settings of your editor", "a shell\n")
	g.install("nixvm-agent-install", `echo "installing $1"; exit 7`)
	contains(t, g.run(claude, "y\n"), "installing @anthropic-ai/claude-code", "could not be installed; the reason is above", "a shell\n")
	g.install("nixvm-agent-install", `printf '#!/bin/sh\necho claude "$@"\n' >`+g.bin+`/claude; chmod 755 `+g.bin+`/claude`)
	if got := g.run(claude, "y\n"); !strings.HasSuffix(got, "claude --help\n") {
		t.Errorf("after it was installed: %q", got)
	}
	if got := g.run(claude, ""); got != "claude --help\n" {
		t.Errorf("once it is there: %q", got)
	}
}

func TestAnAgentThatFailsLeavesItsWords(t *testing.T) {
	g := newGuest(t)
	contains(t, g.run(Line(api.Agent{Name: "x", Command: "echo no key; false"}, "/tmp", ""), "\n"), "no key\n\nx ended with an error")
	if got := g.run(Line(api.Agent{Name: "x", Command: "exit 130"}, "/tmp", ""), ""); got != "" {
		t.Errorf("one that was interrupted is over, but said %q", got)
	}
}

func TestWithTmuxTheLineAttachesToTheSession(t *testing.T) {
	g := newGuest(t)
	line := Line(api.Agent{Name: "claude", Command: "echo here"}, "/tmp", "claude-tmp")
	g.path = g.bin // no tmux, nothing of the system
	if got := g.run(line, ""); got != "here\n" {
		t.Errorf("without tmux: %q", got)
	}
	g.install("tmux", `printf '[%s]' "$@"`)
	got := g.run(line, "")
	if !strings.HasPrefix(got, "[new-session][-A][-s][claude-tmp][/bin/sh][-c][") || !strings.HasSuffix(got, "[sh][claude][echo here][echo][][]") {
		t.Errorf("with tmux: %q", got)
	}
}

func TestThereIsOneSessionForAnAgentAndProject(t *testing.T) {
	for directory, want := range map[string]string{
		"/home/user": "claude", "/home/user/": "claude", "/": "claude", "": "claude", "/home/user/shop": "claude-shop", "/srv/my.app": "claude-my_app", "/srv/ä:b/": "claude-__b",
	} {
		if got := Session("claude", directory); got != want {
			t.Errorf("%s: %s, want %s", directory, got, want)
		}
	}
}

func TestAgentsAreOfferedByTheProfiles(t *testing.T) {
	list := []api.Agent{{Name: "claude", Command: "claude"}, {Name: "opencode", Command: "opencode --x"}, {Name: "mine", Command: "./run.sh"}, {Name: "odd", Command: "cd x && claude"}}
	names := func(offers []api.Agent) (names []string) {
		for _, o := range offers {
			names = append(names, o.Name+o.MissingProfile)
		}
		return names
	}
	for _, tc := range []struct {
		profiles []string
		list     []api.Agent
		want     []string
	}{
		{[]string{"open-code"}, list, []string{"opencode", "mine", "odd"}},
		{[]string{"claude", "dev"}, list, []string{"claude", "mine", "odd"}},
		{nil, Default(), []string{"claudeclaude", "opencodeopen-code"}},
	} {
		if got := names(Offered(tc.profiles, tc.list)); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%v: %v, want %v", tc.profiles, got, tc.want)
		}
	}
}
