package sshconfig

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/sshsettings"
)

// What ssh does with the configuration that it reads by itself cannot be had by -F:
// it checks who may write it, and reads the system's too. So these tests run a
// process whose home directory, as the password database has it, is a file system of
// its own, in a namespace of its own.

// place is what the process arranges before it applies.
type place struct {
	User    string      // ~/.ssh/config; empty = there is none
	Mode    os.FileMode // of it
	Owner   int         // of it
	Link    string      // ~/.ssh/config is a symlink to this
	DirMode os.FileMode // of ~/.ssh at the end
	System  string      // /etc/ssh/ssh_config
	Twice   bool        // apply before the mode and the owner are set, and again after it
}

// applied is what it found.
type applied struct {
	Code, Message, Hint string
	Included, Own       bool   // our own files are there
	Resolved            string // the account that ssh itself finds for demo, or its complaint
	Checked             string // the code of Check
	Content             string // ~/.ssh/config at the end
	Inherited           []string
}

// inPlace is the process; see place.
func inPlace(encoded string) int {
	var p place
	if err := json.Unmarshal([]byte(encoded), &p); err != nil {
		fmt.Println(err)
		return 1
	}
	a, err := p.run(context.Background())
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		return 1
	}
	return 0
}

func (p place) run(ctx context.Context) (applied, error) {
	var a applied
	home := homeDir()
	work, err := os.MkdirTemp("/tmp", "nv")
	if err != nil {
		return a, err
	}
	defer os.RemoveAll(work)
	if err := unix.Mount("nv", home, "tmpfs", 0, ""); err != nil {
		return a, fmt.Errorf("mount %s: %w", home, err)
	}
	if p.System != "" {
		file := filepath.Join(work, "system")
		if err := os.WriteFile(file, []byte(p.System), 0o644); err != nil {
			return a, err
		}
		if err := unix.Mount(file, "/etc/ssh/ssh_config", "", unix.MS_BIND, ""); err != nil {
			return a, fmt.Errorf("mount /etc/ssh/ssh_config: %w", err)
		}
	}
	config := filepath.Join(home, ".ssh", "config")
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		return a, err
	}
	c, err := Open(Options{Layout: paths.Under(work), Executable: "/opt/nixvm/bin/nixvmd"})
	if err != nil {
		return a, err
	}
	if p.User != "" {
		if err := os.WriteFile(config, []byte(p.User), 0o600); err != nil {
			return a, err
		}
	}
	if p.Link != "" {
		if err := os.Symlink(p.Link, config); err != nil {
			return a, err
		}
	}
	if p.Twice {
		if _, err := c.Apply(ctx, hosts("demo")); err != nil {
			return a, err
		}
	}
	if p.Mode != 0 {
		if err := os.Chmod(config, p.Mode); err != nil {
			return a, err
		}
	}
	if p.Owner != 0 {
		if err := os.Chown(config, p.Owner, p.Owner); err != nil {
			return a, err
		}
	}
	res, err := c.Apply(ctx, hosts("demo"))
	if err != nil {
		problem := problem.From(err)
		a.Code, a.Message, a.Hint = string(problem.Code), problem.Message, problem.Hint
	}
	a.Included, a.Own = res.Included, exists(c.ConfigFile()) && exists(c.KnownHostsFile())
	for _, i := range res.Inherited {
		a.Inherited = append(a.Inherited, i.String())
	}
	if err := c.Check(ctx, hosts("demo")); err != nil {
		a.Checked = string(problem.From(err).Code)
	}
	out, _ := exec.Command("ssh", "-G", "demo").CombinedOutput()
	a.Resolved = sshsettings.Parse(string(out)).First("user")
	if strings.Contains(string(out), "Bad owner") {
		a.Resolved = firstLine(string(out))
	}
	content, _ := os.ReadFile(config)
	a.Content = string(content)
	return a, nil
}

// applyAt runs the process.
func applyAt(t *testing.T, p place) applied {
	t.Helper()
	encoded, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"=place "+string(encoded), "NIXVM_SSH_CONFIG=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Unshareflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "mount ") || strings.Contains(err.Error(), "not permitted") {
			t.Skipf("no mount namespace can be had here: %v %s", err, out)
		}
		t.Fatalf("%v %s", err, out)
	}
	var a applied
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return a
}

func TestTheConfigurationThatSSHReadsByItself(t *testing.T) {
	const mine = "Host *\n  User me\n"
	for name, tc := range map[string]struct {
		place
		code     problem.Code
		words    []string
		resolved string
		included bool
	}{
		"is there":                {place: place{User: mine}, resolved: "user", included: true},
		"is not there":            {place: place{}, resolved: "user", included: true},
		"others may write it":     {place{User: mine, Mode: 0o666}, problem.SSHConfigRefused, []string{"mode 0666", "chmod go-w", "Include "}, "Bad owner or permissions", false},
		"others may by now":       {place{User: mine, Mode: 0o666, Twice: true}, problem.SSHConfigRefused, []string{"mode 0666", "chmod go-w"}, "Bad owner or permissions", false},
		"belongs to another user": {place{User: mine, Owner: 12345}, problem.SSHConfigRefused, []string{"12345", "chown", "Include "}, "Bad owner or permissions", false},
		"is a dangling link":      {place{Link: "/nowhere/config"}, problem.SSHConfigReadOnly, []string{"symlink to /nowhere/config", "Include "}, "root", false},
		"is read-only":            {place{User: mine, Mode: 0o400}, problem.SSHConfigReadOnly, []string{"read-only", "Include "}, "me", false},
		"is read-only and bad":    {place{User: "Bogus\n", Mode: 0o400}, problem.SSHConfigReadOnly, []string{"read-only", "bogus", "Include "}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.Owner != 0 && os.Getuid() != 0 {
				t.Skip("only root can give files away")
			}
			a := applyAt(t, tc.place)
			if a.Code != string(tc.code) || a.Included != tc.included || !a.Own {
				t.Errorf("%+v", a)
			}
			for _, w := range tc.words {
				if !strings.Contains(a.Message+" "+a.Hint, w) {
					t.Errorf("neither message nor hint has %q: %s; %s", w, a.Message, a.Hint)
				}
			}
			if !strings.HasPrefix(a.Resolved, tc.resolved) {
				t.Errorf("ssh says %q, want %q", a.Resolved, tc.resolved)
			}
			if tc.code != "" && a.Checked == "" {
				t.Error("and doctor finds nothing")
			}
			if tc.code == "" && a.Checked != "" {
				t.Errorf("doctor finds %s", a.Checked)
			}
			if !tc.included && !tc.Twice && a.Content != tc.User {
				t.Errorf("written: %q", a.Content)
			}
		})
	}
	t.Run("its group may write it", func(t *testing.T) { // Debian's ssh does not mind, others do
		a := applyAt(t, place{User: mine, Mode: 0o620})
		if refuses := strings.HasPrefix(a.Resolved, "Bad owner"); refuses == a.Included || refuses != (a.Code == string(problem.SSHConfigRefused)) {
			t.Errorf("%+v", a)
		}
	})
	t.Run("stands before the system's", func(t *testing.T) {
		a := applyAt(t, place{User: mine, System: "Host *\n  SendEnv LANG LC_*\n  SendEnv SITE_TOKEN\n"})
		if !a.Included || len(a.Inherited) != 2 || a.Inherited[0] != "SendEnv SITE_TOKEN (/etc/ssh/ssh_config:3)" {
			t.Errorf("%+v", a)
		}
		a = applyAt(t, place{User: mine, System: "Host *\n  DynamicForward 1080\n"})
		if a.Code != string(problem.SSHInherited) || !strings.Contains(a.Message, "/etc/ssh/ssh_config:2") || a.Content != mine {
			t.Errorf("%+v", a)
		}
	})
}

// asNobody runs the helper as a user whom permissions stop.
func asNobody(t *testing.T, job, home string) (string, error) {
	t.Helper()
	if os.Getuid() != 0 {
		return runHelper(t, job)
	}
	const nobody = 65534
	err := filepath.WalkDir(home, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	})
	if err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(shortDir(t), "self")
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(self, data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(self), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Dir = home
	cmd.Env = append(os.Environ(), helperEnv+"="+job, "HOME="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Wherever the user's configuration lies, our own files are
// written and the reason is the true one.
func TestDirectoryThatMayNotBeWrittenOrRead(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		mode    os.FileMode // of the file
		dir     os.FileMode // of its directory
		words   []string
	}{
		"not written, no file":   {"", 0, 0o500, []string{"not writable"}},
		"not written, with file": {"Host a\n", 0o600, 0o500, []string{"its directory is read-only"}},
		"not read at all":        {"Host a\n", 0o600, 0o000, []string{"permission denied"}},
		"file not read":          {"Host a\n", 0o200, 0o700, []string{"permission denied"}},
	} {
		t.Run(name, func(t *testing.T) {
			home := shortDir(t)
			config := filepath.Join(home, ".ssh", "config")
			if err := os.Mkdir(filepath.Dir(config), 0o700); err != nil {
				t.Fatal(err)
			}
			if tc.content != "" {
				if err := os.WriteFile(config, []byte(tc.content), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(config, tc.mode); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(filepath.Dir(config), tc.dir); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(filepath.Dir(config), 0o700) })
			out, err := asNobody(t, "apply "+home+" demo", home)
			if err == nil {
				t.Fatalf("reported as fine: %s", out)
			}
			for _, w := range append(tc.words, string(problem.SSHConfigReadOnly), "Include "+home) {
				if !strings.Contains(out, w) {
					t.Errorf("no %q in %s", w, out)
				}
			}
			if !exists(filepath.Join(home, "demo", "state", "ssh", "config")) {
				t.Error("our own file is not in place")
			}
		})
	}
}
