package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

// readOnlyCase arranges a user configuration that must not be edited.
type readOnlyCase struct {
	arrange func(t *testing.T, c *Config)
	words   []string // in message or hint
}

const readOnlyContent = "Host *\n  User me\n"

// storeManaged makes the configuration a symlink into a store, as home-manager does.
func storeManaged(content string) func(t *testing.T, c *Config) {
	return func(t *testing.T, c *Config) {
		t.Helper()
		c.storeDir = filepath.Join(shortDir(t), "store")
		inStore := filepath.Join(c.storeDir, "abc-hm_.sshconfig")
		for _, d := range []string{c.storeDir, filepath.Dir(c.UserConfig())} {
			if err := os.MkdirAll(d, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(inStore, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(inStore, c.UserConfig()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadOnlyUserConfig(t *testing.T) {
	for name, tc := range map[string]readOnlyCase{
		"in the Nix store": {storeManaged(readOnlyContent), []string{"programs.ssh.includes", "managed by Nix"}},
		"without write bits": {func(t *testing.T, c *Config) {
			writeUserConfig(t, c, readOnlyContent)
			if err := os.Chmod(c.UserConfig(), 0o444); err != nil {
				t.Fatal(err)
			}
		}, []string{"it is read-only"}},
		"with hard links": {func(t *testing.T, c *Config) {
			writeUserConfig(t, c, readOnlyContent)
			if err := os.Link(c.UserConfig(), c.UserConfig()+".dotfiles"); err != nil {
				t.Fatal(err)
			}
		}, []string{"hard links"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConfig(t)
			tc.arrange(t, c)
			res, err := c.Apply(t.Context(), hosts("demo"))
			wantCode(t, err, problem.SSHConfigReadOnly, append(tc.words, c.IncludeLine())...)
			if res.Included || res.UserConfigChanged || len(res.Written) != 1 {
				t.Errorf("result %+v", res)
			}
			if got := read(t, c.UserConfig()); got != readOnlyContent {
				t.Errorf("written: %q", got)
			}
			if !strings.Contains(read(t, c.ConfigFile()), "Host demo\n") {
				t.Error("our own file is not in place, so adding the line would not help")
			}
			if _, err := c.Preview(hosts("demo", "b")); !problem.HasCode(err, problem.SSHConfigReadOnly) {
				t.Errorf("preview: %v", err)
			}
			if err := c.Remove(t.Context()); err != nil {
				t.Errorf("remove: %v", err)
			}
			if exists(c.ConfigFile()) {
				t.Error("our file is left")
			}
		})
	}
}

func TestRemoveFromAFileThatBecameReadOnly(t *testing.T) {
	c := newConfig(t)
	writeUserConfig(t, c, readOnlyContent)
	mustApply(t, c, host("demo"))
	if err := os.Chmod(c.UserConfig(), 0o400); err != nil {
		t.Fatal(err)
	}
	wantCode(t, c.Remove(t.Context()), problem.SSHConfigReadOnly, "lines 1 and 2")
	if exists(c.ConfigFile()) {
		t.Error("our file is left, so the line still has an effect")
	}
	if got := resolve(t, c.UserConfig(), "x")["user"]; got != "me" {
		t.Errorf("the user's configuration is broken: user %q", got)
	}
}

func TestReadOnlyWithTheLineByHand(t *testing.T) {
	for name, lines := range map[string]string{
		"as we print it":                "%s\nHost *\n  User me\n",
		"after another Include":         "Include /nowhere\n\n# nixvm\n%s\nHost *\n  User me\n",
		"lower case, tabs and a equals": "include\t=\t%p\nHost *\n  User me\n",
		"as a glob":                     "Include %d/conf*\nHost *\n  User me\n",
		"in a Host block for all":       "Host *\n%s\n  User me\n",
		"in a file that is included":    "Include %i\nHost *\n  User me\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := newConfig(t)
			other := filepath.Join(shortDir(t), "more")
			if err := os.WriteFile(other, []byte(c.IncludeLine()), 0o600); err != nil {
				t.Fatal(err)
			}
			content := strings.NewReplacer("%s", c.IncludeLine(), "%p", c.ConfigFile(), "%d", c.dir, "%i", other).Replace(lines)
			storeManaged(content)(t, c)
			if res := mustApply(t, c, host("demo")); !res.Included || res.UserConfigChanged {
				t.Errorf("result %+v", res)
			}
			if got := resolve(t, c.UserConfig(), "demo")["user"]; got != "user" {
				t.Errorf("user %q", got)
			}
			if err := c.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestLineByHandIsNotDoubled(t *testing.T) {
	c := newConfig(t)
	content := "Include " + c.ConfigFile() + "\nHost *\n  User me\n"
	writeUserConfig(t, c, content)
	mustApply(t, c, host("demo"))
	if got := read(t, c.UserConfig()); got != content {
		t.Errorf("got %q", got)
	}
	if err := c.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, c.UserConfig()); got != content {
		t.Errorf("the user's own line was touched: %q", got)
	}
}

func TestSymlinkedUserConfig(t *testing.T) {
	t.Run("is followed and kept", func(t *testing.T) {
		c := newConfig(t)
		dotfiles := filepath.Join(shortDir(t), "ssh_config")
		if err := os.WriteFile(dotfiles, []byte("Host a\n"), 0o604); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Dir(c.UserConfig()), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(dotfiles, c.UserConfig()); err != nil {
			t.Fatal(err)
		}
		mustApply(t, c, host("demo"))
		if target, err := os.Readlink(c.UserConfig()); err != nil || target != dotfiles {
			t.Errorf("the symlink was replaced: %v %v", target, err)
		}
		if got := read(t, dotfiles); !strings.HasPrefix(got, markerLine) || !strings.HasSuffix(got, "\nHost a\n") {
			t.Errorf("target: %q", got)
		}
		if fi, err := os.Stat(dotfiles); err != nil || fi.Mode().Perm() != 0o604 {
			t.Errorf("mode %v %v", fi.Mode(), err)
		}
		if err := c.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dotfiles); got != "Host a\n" {
			t.Errorf("left %q", got)
		}
	})
	t.Run("that dangles is left alone", func(t *testing.T) {
		c := newConfig(t)
		if err := os.Mkdir(filepath.Dir(c.UserConfig()), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("nowhere", c.UserConfig()); err != nil {
			t.Fatal(err)
		}
		_, err := c.Apply(t.Context(), hosts("demo"))
		if err == nil {
			t.Fatal("accepted")
		}
		if target, _ := os.Readlink(c.UserConfig()); target != "nowhere" {
			t.Errorf("symlink to %q", target)
		}
	})
}

func TestUserConfigThatIsNoFile(t *testing.T) {
	c := newConfig(t)
	if err := os.MkdirAll(c.UserConfig(), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := c.Apply(t.Context(), hosts("demo"))
	wantCode(t, err, problem.SSHConfigMalformed, "NIXVM_SSH_CONFIG")
}

func TestOwnerIsKept(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	c := newConfig(t)
	writeUserConfig(t, c, "Host a\n")
	if err := os.Chown(c.UserConfig(), 12345, 54321); err != nil {
		t.Fatal(err)
	}
	mustApply(t, c, host("demo"))
	fi, err := os.Stat(c.UserConfig())
	if err != nil {
		t.Fatal(err)
	}
	if uid, gid := owner(fi); uid != 12345 || gid != 54321 {
		t.Errorf("owner %d:%d", uid, gid)
	}
}

func TestConfigThatSSHDoesNotAccept(t *testing.T) {
	for name, content := range map[string]string{
		"unknown option":  "Host *\n  NoSuchOption yes\n",
		"byte order mark": "\xef\xbb\xbfHost a\n  User me\n",
		"binary":          "\x00\x01\x02\xff\nHost a\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := newConfig(t)
			writeUserConfig(t, c, content)
			_, err := c.Apply(t.Context(), hosts("demo"))
			if name == "binary" && err == nil {
				t.Skip("this ssh accepts it")
			}
			wantCode(t, err, problem.SSHConfigMalformed, "does not accept", "line")
			if name == "unknown option" && !strings.Contains(err.Error(), "line 2") {
				t.Errorf("not the line that an editor shows: %v", err)
			}
			if got := read(t, c.UserConfig()); got != content {
				t.Errorf("not restored: %q", got)
			}
			if exists(c.ConfigFile()) || exists(c.KnownHostsFile()) {
				t.Error("our files were not taken back")
			}
		})
	}
	t.Run("and a machine that was there before stays", func(t *testing.T) {
		c := newConfig(t)
		writeUserConfig(t, c, "Host a\n")
		mustApply(t, c, host("demo"))
		before := read(t, c.ConfigFile())
		writeUserConfig(t, c, read(t, c.UserConfig())+"Nonsense\n")
		_, err := c.Apply(t.Context(), hosts("demo", "new"))
		wantCode(t, err, problem.SSHConfigMalformed, "nonsense")
		if got := read(t, c.ConfigFile()); got != before {
			t.Errorf("ours is now\n%s", got)
		}
		if got := read(t, c.UserConfig()); !strings.HasPrefix(got, markerLine) || !strings.HasSuffix(got, "Host a\nNonsense\n") {
			t.Errorf("the user's is now %q", got)
		}
	})
	t.Run("a Match exec hangs", func(t *testing.T) {
		c := newConfig(t)
		c.verifyTimeout = 200 * time.Millisecond
		content := "Match exec \"sleep 3\"\n  User me\n"
		writeUserConfig(t, c, content)
		_, err := c.Apply(t.Context(), hosts("demo"))
		wantCode(t, err, problem.SSHConfigMalformed, "Match exec")
		if got := read(t, c.UserConfig()); got != content || exists(c.ConfigFile()) {
			t.Errorf("not rolled back: %q", got)
		}
	})
	t.Run("the caller gives up", func(t *testing.T) {
		c := newConfig(t)
		writeUserConfig(t, c, "Host a\n")
		mustApply(t, c, host("demo"))
		before := read(t, c.ConfigFile())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Apply(ctx, hosts("demo", "new")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if got := read(t, c.ConfigFile()); got != before {
			t.Errorf("not rolled back:\n%s", got)
		}
	})
	t.Run("ssh itself is not there", func(t *testing.T) {
		c := newConfig(t, func(o *Options) { o.SSH = "no-such-ssh-program" })
		_, err := c.Apply(t.Context(), hosts("demo"))
		wantCode(t, err, problem.BackendMissing, "openssh-client")
		if exists(c.UserConfig()) || exists(c.ConfigFile()) || exists(c.statePath()) || exists(c.unverifiedPath()) {
			t.Error("not rolled back")
		}
	})
}

func TestShadowedEntryIsNamedAndRolledBack(t *testing.T) {
	// Only a configuration that we may not edit can still shadow ours: its
	// Include line stands too low, here below a first file that it includes.
	c := newConfig(t)
	first := filepath.Join(shortDir(t), "first")
	if err := os.WriteFile(first, []byte("# note\nHost b* !build*\n  ProxyJump bastion\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	writeUserConfig(t, c, "Include "+first+"\n"+c.IncludeLine()+"\n")
	res, err := c.Apply(t.Context(), hosts("a", "b1", "build"))
	wantCode(t, err, problem.SSHShadowed, "b1", first+":3", "proxycommand")
	if len(res.Refused) != 1 || res.Refused[0].Machine != "b1" || len(res.Written) != 2 || !res.Included {
		t.Errorf("result %+v", res)
	}
	if config := read(t, c.ConfigFile()); strings.Contains(config, "Host b1") || !strings.Contains(config, "Host build\n") {
		t.Errorf("config:\n%s", config)
	}
}

func TestEditorThatWritesAtTheSameTime(t *testing.T) {
	c := newConfig(t)
	writeUserConfig(t, c, "Host a\n")
	edits := 0
	c.beforeRename = func() {
		if edits++; edits == 1 {
			writeUserConfig(t, c, "Host a\nHost typed-meanwhile\n")
		}
	}
	mustApply(t, c, host("demo"))
	if got := read(t, c.UserConfig()); !strings.HasSuffix(got, "\nHost a\nHost typed-meanwhile\n") {
		t.Errorf("the edit was lost: %q", got)
	}
	c.beforeRename = func() { writeUserConfig(t, c, string(bytes.Repeat([]byte("#"), edits))); edits++ }
	if err := c.Remove(t.Context()); err != nil {
		t.Logf("remove under a constant writer: %v", err)
	}
}

func TestPreviewShowsTheDiffAndWritesNothing(t *testing.T) {
	c := newConfig(t)
	writeUserConfig(t, c, "Host a\n  User me")
	d, err := c.Preview(hosts("demo"))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Files) != 3 || d.Empty() {
		t.Fatalf("%d files", len(d.Files))
	}
	for _, want := range []string{"+++ " + c.UserConfig(), "+" + markerLine, "+" + c.IncludeLine(), " Host a", "+Host demo", "+Host demo-admin", "+nixvm-" + host("demo").UUID + " " + demoKey} {
		if !strings.Contains(d.String(), want+"\n") {
			t.Errorf("the diff has no line %q:\n%s", want, d)
		}
	}
	if exists(c.ConfigFile()) || read(t, c.UserConfig()) != "Host a\n  User me" {
		t.Error("preview wrote")
	}
	mustApply(t, c, host("demo"))
	if d, err := c.Preview(hosts("demo")); err != nil || !d.Empty() {
		t.Errorf("after apply there is still a difference: %v\n%s", err, d)
	}
	if d, err := c.Preview(nil); err != nil || !strings.Contains(d.String(), "-"+markerLine) {
		t.Errorf("the preview of a removal: %v\n%s", err, d)
	}
	if d, err := c.Preview(hosts("a")); err != nil || len(d.Refused) != 1 {
		t.Errorf("the preview of a taken name: %v %+v", err, d.Refused)
	}
}
