package flake

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// programs puts shell scripts into a directory, for a PATH.
func programs(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range scripts {
		write(t, filepath.Join(dir, name), "#!/bin/sh\n"+text+"\n")
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// An agent is installed by npm at an interactive login, and at no other.
func TestAnAgentIsInstalledOnlyWhereSomebodyWatches(t *testing.T) {
	dir := programs(t, map[string]string{"id": "echo ${WHO:-user}", "nixvm-agent-install": `echo installed "$@"`, "present": ""})
	login := func(command string, env ...string) string {
		t.Helper()
		flags := "-ic"
		if strings.Contains(strings.Join(env, " "), "NOTINTERACTIVE") {
			flags = "-c"
		}
		shell := `. modules/agents/login.sh; nixvm_agent ` + command
		// script gives it a terminal, which is what it asks for.
		cmd := exec.Command("script", "-qec", "bash --noprofile --norc "+flags+" '"+shell+"'", "/dev/null")
		if strings.Contains(strings.Join(env, " "), "NOTERMINAL") {
			cmd = exec.Command("bash", "-c", shell)
		}
		cmd.Env = append([]string{"PATH=" + dir + ":" + os.Getenv("PATH"), "TERM=xterm"}, env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if out := login("absent some-package"); !strings.Contains(out, "installed --at-login absent some-package") {
		t.Errorf("a first login says %q", out)
	}
	for name, out := range map[string]string{
		"it is there already":  login("present some-package"),
		"an editor logs in":    login("absent some-package", "TERM=dumb"),
		"there is no terminal": login("absent some-package", "NOTERMINAL=1"),
		"nothing is typed":     login("absent some-package", "NOTINTERACTIVE=1"),
		"another account":      login("absent some-package", "WHO=admin"),
		"no terminal is set":   login("absent some-package", "TERM="),
	} {
		if out != "" {
			t.Errorf("%s: the login says %q", name, out)
		}
	}
}

func TestOnlyALoginInstallsAgentsAndNotEachShell(t *testing.T) {
	module, err := Files.ReadFile("modules/agents.nix")
	if err != nil {
		t.Fatal(err)
	}
	if text := string(module); strings.Contains(text, "interactiveShellInit") || !strings.Contains(text, "loginShellInit") {
		t.Error("every terminal that is opened would wait for npm")
	}
}

// installer runs nixvm-agent-install with a npm of the test.
type installer struct {
	*testing.T
	home, bin, log string
}

func newInstaller(t *testing.T) installer {
	t.Helper()
	home := t.TempDir()
	log := filepath.Join(home, "npm.log")
	return installer{t, home, programs(t, map[string]string{
		// npm view fails without a network, npm install for a package that is broken.
		"npm": `case $1 in
view) echo view $2 >> ` + log + `; [ -e ` + home + `/network ] ;;
install) for last; do :; done; echo install $last >> ` + log + `; [ $last != broken@latest ] ;;
esac`,
	}), log}
}

func (i installer) command(args ...string) *exec.Cmd {
	cmd := exec.Command("bash", append([]string{"-euo", "pipefail", "modules/agents/install.sh"}, args...)...)
	cmd.Env = []string{"PATH=" + i.bin + ":" + os.Getenv("PATH"), "HOME=" + i.home}
	return cmd
}

func (i installer) run(args ...string) string {
	i.Helper()
	out, err := i.command(args...).CombinedOutput()
	if err != nil {
		i.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

// asked returns what npm was asked for since the last time.
func (i installer) asked() string {
	data, _ := os.ReadFile(i.log) // it is not there when npm did not run
	os.Remove(i.log)
	return string(data)
}

// later makes all that was written down eleven minutes older.
func (i installer) later() {
	i.Helper()
	stamps, err := filepath.Glob(filepath.Join(i.home, ".local/state/nixvm-agents/*"))
	if err != nil || len(stamps) == 0 {
		i.Fatal(stamps, err)
	}
	then := time.Now().Add(-11 * time.Minute)
	for _, name := range stamps {
		if err := os.Chtimes(name, then, then); err != nil {
			i.Fatal(err)
		}
	}
}

func TestALoginWithoutANetworkTriesOnceInSomeMinutes(t *testing.T) {
	i := newInstaller(t)
	if out := i.run("--at-login", "absent", "pkg"); !strings.Contains(out, "There is no network") || !strings.Contains(out, "nixvm-agent-install pkg") {
		t.Errorf("it says %q", out)
	}
	// Neither another agent nor another login waits again.
	for _, command := range []string{"other", "absent", "absent"} {
		if out := i.run("--at-login", command, "pkg"); out != "" {
			t.Errorf("a second login says %q", out)
		}
	}
	if diff := cmp.Diff("view pkg@latest\n", i.asked()); diff != "" {
		t.Errorf("npm was asked (-want +got):\n%s", diff)
	}
	i.later()
	write(t, filepath.Join(i.home, "network"), "")
	if out := i.run("--at-login", "absent", "pkg"); !strings.HasPrefix(out, "Installing absent") || strings.Contains(out, "again") {
		t.Errorf("with a network it says %q", out)
	}
	if diff := cmp.Diff("view pkg@latest\ninstall pkg@latest\n", i.asked()); diff != "" {
		t.Errorf("npm was asked (-want +got):\n%s", diff)
	}
}

func TestAnAgentThatCannotBeInstalledHoldsUpNoOther(t *testing.T) {
	i := newInstaller(t)
	write(t, filepath.Join(i.home, "network"), "")
	if out := i.run("--at-login", "bad", "broken"); !strings.Contains(out, "bad could not be installed.") {
		t.Errorf("it says %q", out)
	}
	if out := i.run("--at-login", "bad", "broken"); out != "" {
		t.Errorf("the next login says %q", out)
	}
	i.asked()
	i.run("--at-login", "good", "pkg")
	if diff := cmp.Diff("view pkg@latest\ninstall pkg@latest\n", i.asked()); diff != "" {
		t.Errorf("npm was asked (-want +got):\n%s", diff)
	}
	// By hand there is no waiting, and what works by hand clears the slate.
	i.run("pkg", "more")
	if diff := cmp.Diff("install pkg@latest\ninstall more@latest\n", i.asked()); diff != "" {
		t.Errorf("npm was asked (-want +got):\n%s", diff)
	}
	if out := i.run("--at-login", "bad", "broken"); out == "" {
		t.Error("a login does not try again after that")
	}
	i.asked()
	if err := i.command("broken").Run(); err == nil {
		t.Error("an installation by hand that failed ends well")
	}
	for _, wrong := range [][]string{{}, {"--at-login"}, {"--help"}} {
		var exit *exec.ExitError
		if err := i.command(wrong...).Run(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Errorf("%q ends with %v", wrong, err)
		}
	}
}

func TestTwoFirstLoginsAtOnceInstallOnce(t *testing.T) {
	i := newInstaller(t)
	write(t, filepath.Join(i.home, "network"), "")
	write(t, filepath.Join(i.home, ".local/state/nixvm-agents/lock"), "")
	held := exec.Command("flock", filepath.Join(i.home, ".local/state/nixvm-agents/lock"), "sh", "-c", "echo held; read end")
	stdin, err := held.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := held.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := held.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if out := i.run("--at-login", "absent", "pkg"); !strings.Contains(out, "by another login") {
		t.Errorf("beside another one it says %q", out)
	}
	if asked := i.asked(); asked != "" {
		t.Errorf("npm was asked %q", asked)
	}
	stdin.Close()
	_ = held.Wait() // read ended without a line
	i.run("--at-login", "absent", "pkg")
	if asked := i.asked(); !strings.Contains(asked, "install pkg") {
		t.Errorf("after the other one npm was asked %q", asked)
	}
}

func TestALoginNamesTheProfilesThatWentWithTheImage(t *testing.T) {
	home := t.TempDir()
	profiles := filepath.Join(home, ".local/state/nix/profiles")
	write(t, filepath.Join(home, "a store path"), "")
	for link, to := range map[string]string{
		".nix-profile": ".local/state/nix/profiles/profile", ".local/state/nix/profiles/profile": "profile-1-link",
		".local/state/nix/profiles/profile-1-link": "/nix/store/gone-profile", ".local/state/nix/profiles/channels": "../../../../a store path",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(home, link)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(home, link)); err != nil {
			t.Fatal(err)
		}
	}
	login := func(flags, term string) string {
		t.Helper()
		cmd := exec.Command("script", "-qec", "bash --noprofile --norc "+flags+" '. modules/nix/login.sh; nixvm_lost'", "/dev/null")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TERM=" + term, "HOME=" + home}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.ReplaceAll(string(out), "\r\n", "\n")
	}
	if out := login("-ic", "xterm"); !strings.Contains(out, "\n  "+profiles+"/profile\n") || !strings.Contains(out, "\n  "+home+"/.nix-profile\n") ||
		strings.Contains(out, "-link") || strings.Contains(out, "channels") || !strings.Contains(out, "nix profile install") {
		t.Errorf("it says %q", out)
	}
	if out := login("-c", "xterm") + login("-ic", "dumb"); out != "" {
		t.Errorf("without a terminal it prints %q", out)
	}
	write(t, filepath.Join(home, "new"), "")
	if err := errors.Join(os.Remove(filepath.Join(profiles, "profile-1-link")), os.Symlink(filepath.Join(home, "new"), filepath.Join(profiles, "profile-1-link"))); err != nil {
		t.Fatal(err)
	}
	if out := login("-ic", "xterm"); out != "" {
		t.Errorf("when all is well it says %q", out)
	}
}
