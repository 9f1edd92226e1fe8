package sshconfig

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestApplyMakesBothNamesWork(t *testing.T) {
	c := newConfig(t)
	writeUserConfig(t, c, "Host work\n  User me\n")
	res := mustApply(t, c, host("demo"))
	if !res.Included || !res.UserConfigChanged || !slices.Equal(res.Written, []string{"demo"}) {
		t.Errorf("result %+v", res)
	}
	if got := read(t, res.Backup); got != "Host work\n  User me\n" {
		t.Errorf("backup holds %q", got)
	}
	sockets := map[string]bool{}
	for alias, account := range map[string]string{"demo": "user", "demo-admin": "admin"} {
		got := resolve(t, c.UserConfig(), alias)
		for k, want := range map[string]string{
			"user": account, "hostname": "demo.nixvm.invalid", "proxycommand": "/opt/nixvm/bin/nixvmd proxy %n",
			"hostkeyalias": "nixvm-" + host("demo").UUID, "userknownhostsfile": c.KnownHostsFile(),
			"stricthostkeychecking": "true", "forwardagent": "no", "identityfile": c.IdentityFile(),
			"identitiesonly": "yes", "controlpath": c.opts.Layout.ControlSocket(alias, account), "updatehostkeys": "false",
		} {
			if got[k] != want {
				t.Errorf("%s: %s is %q, want %q", alias, k, got[k], want)
			}
		}
		sockets[got["controlpath"]] = true
	}
	if len(sockets) != 2 {
		t.Errorf("the two accounts share a control socket: %v", sockets)
	}
	if got := resolve(t, c.UserConfig(), "work")["user"]; got != "me" {
		t.Errorf("the user's own host has user %q", got)
	}
	for _, f := range []string{c.ConfigFile(), c.KnownHostsFile(), c.IdentityFile()} {
		if fi, err := os.Stat(f); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, fi.Mode(), err)
		}
	}
}

func TestApplyAgainWritesNothing(t *testing.T) {
	c := newConfig(t)
	mustApply(t, c, host("demo"))
	before := stamp(t, c)
	if res := mustApply(t, c, host("demo")); res.UserConfigChanged || len(res.Written) > 0 || !res.Included {
		t.Errorf("result %+v", res)
	}
	if after := stamp(t, c); before != after {
		t.Errorf("files were written again:\n%s\n%s", before, after)
	}
}

// stamp tells whether any file was replaced.
func stamp(t *testing.T, c *Config) string {
	t.Helper()
	var all []string
	for _, f := range []string{c.UserConfig(), c.ConfigFile(), c.KnownHostsFile(), c.statePath()} {
		fi, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f, fi.ModTime().String())
	}
	return strings.Join(all, " ")
}

func TestRemoveLeavesNoTrace(t *testing.T) {
	t.Run("of a file that was there", func(t *testing.T) {
		c := newConfig(t)
		content := "\n\n# mine\r\nHost *\n\tUser me\n\nHost no-newline"
		writeUserConfig(t, c, content)
		mustApply(t, c, host("demo"))
		if err := c.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := read(t, c.UserConfig()); got != content {
			t.Errorf("got %q, want %q", got, content)
		}
		if exists(c.ConfigFile()) || exists(c.KnownHostsFile()) {
			t.Error("our files are still there")
		}
	})
	t.Run("of a file and directory that nixvm created", func(t *testing.T) {
		c := newConfig(t)
		mustApply(t, c, host("demo"))
		if fi, err := os.Stat(filepath.Dir(c.UserConfig())); err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("created directory: %v %v", fi, err)
		}
		if fi, err := os.Stat(c.UserConfig()); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("created file: %v %v", fi, err)
		}
		if _, err := c.Apply(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if exists(filepath.Dir(c.UserConfig())) || exists(c.statePath()) {
			t.Error("something is left")
		}
	})
	t.Run("but keeps what the user wrote into a file that nixvm created", func(t *testing.T) {
		c := newConfig(t)
		mustApply(t, c, host("demo"))
		writeUserConfig(t, c, read(t, c.UserConfig())+"Host later\n")
		if err := c.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := read(t, c.UserConfig()); got != "Host later\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("twice is once", func(t *testing.T) {
		c := newConfig(t)
		writeUserConfig(t, c, "Host a\n")
		for range 2 {
			if err := c.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := read(t, c.UserConfig()); got != "Host a\n" {
			t.Errorf("got %q", got)
		}
	})
}

func TestApplyToEveryKindOfUserConfig(t *testing.T) {
	for name, content := range map[string]string{
		"empty":                      "",
		"Host * first":               "Host *\n  User everyone\n  ProxyJump bastion\n  ForwardAgent yes\n  ControlPath ~/.cm-%r@%h\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n",
		"global options first":       "User everyone\nForwardAgent yes\n",
		"Match first":                "Match all\n  User everyone\n",
		"Match last":                 "Host a\n  User x\nMatch host *\n  User everyone\n  HostName elsewhere\n",
		"Match final":                "Match final\n  User everyone\n  Port 99\n",
		"Match exec":                 "Match exec true\n  User everyone\n",
		"CRLF":                       "Host *\r\n  User everyone\r\n",
		"no final newline":           "Host *\n  User everyone",
		"only a comment":             "# nothing here yet",
		"lower case and equals":      "host=*\nuser=everyone\nforwardagent=yes\n",
		"Include of a missing file":  "Include /nowhere/at/all\nHost *\n  User everyone\n",
		"canonical names":            "CanonicalizeHostname yes\nMatch canonical\n  User everyone\n",
		"RemoteCommand for all":      "Host *\n  RemoteCommand tmux\n  RequestTTY yes\n  ProxyUseFdpass yes\n",
		"host authentication off":    "Host *\n  NoHostAuthenticationForLocalhost yes\n  HostKeyAlgorithms ssh-rsa\n",
		"other tool's block on top":  "# Added by other tool\nInclude ~/.other/ssh/config\n\nHost *\n  User everyone\n",
		"a wildcard over our prefix": "Host dem*\n  User everyone\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := newConfig(t)
			writeUserConfig(t, c, content)
			mustApply(t, c, host("demo"))
			got := resolve(t, c.UserConfig(), "demo")
			for k, want := range map[string]string{
				"user": "user", "hostname": "demo.nixvm.invalid", "proxycommand": "/opt/nixvm/bin/nixvmd proxy %n", "forwardagent": "no",
				"hostkeyalgorithms": "ssh-ed25519", "proxyusefdpass": "no", "nohostauthenticationforlocalhost": "no", "port": got["port"],
			} {
				if got[k] != want {
					t.Errorf("%s is %q, want %q", k, got[k], want)
				}
			}
			if got["remotecommand"] == "tmux" {
				t.Error("the user's RemoteCommand reaches the VM")
			}
			if err := c.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			if back := read(t, c.UserConfig()); back != content {
				t.Errorf("removed: %q, want %q", back, content)
			}
		})
	}
}

func TestNamesThatAreTaken(t *testing.T) {
	t.Run("by the user's own Host line", func(t *testing.T) {
		c := newConfig(t)
		content := "Host a\n\nhost = b \"demo\" # c\n  User me\n"
		writeUserConfig(t, c, content)
		_, err := c.Apply(t.Context(), hosts("demo"))
		wantCode(t, err, problem.SSHNameTaken, c.UserConfig()+":3", "prefix")
		if got := read(t, c.UserConfig()); got != content || exists(c.ConfigFile()) || exists(c.statePath()) {
			t.Errorf("something was written: %q", got)
		}
		wantCode(t, c.CheckName("demo", nil), problem.SSHNameTaken, ":3")
	})
	t.Run("by a Host line in a file that the user includes, for the admin name", func(t *testing.T) {
		c := newConfig(t)
		writeUserConfig(t, c, "Include conf.d/*.conf\n")
		sub := filepath.Join(c.sshDir, "conf.d", "x.conf")
		if err := os.MkdirAll(filepath.Dir(sub), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(sub, []byte("Host demo-admin\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := c.Apply(t.Context(), hosts("demo"))
		wantCode(t, err, problem.SSHNameTaken, "demo-admin", sub+":1")
	})
	t.Run("not with a prefix", func(t *testing.T) {
		c := newConfig(t, func(o *Options) { o.Prefix = "vm-" })
		writeUserConfig(t, c, "Host demo\n  User me\n")
		mustApply(t, c, host("demo"))
		if got := resolve(t, c.UserConfig(), "vm-demo")["user"]; got != "user" {
			t.Errorf("vm-demo has user %q", got)
		}
		if got := resolve(t, c.UserConfig(), "demo")["user"]; got != "me" {
			t.Errorf("demo has user %q", got)
		}
	})
	t.Run("by the admin account of another machine", func(t *testing.T) {
		c := newConfig(t)
		mustApply(t, c, host("a"))
		res, err := c.Apply(t.Context(), hosts("a", "a-admin", "b"))
		wantCode(t, err, problem.SSHNameTaken, "a-admin", "machine a")
		if len(res.Refused) != 1 || res.Refused[0].Machine != "a-admin" || !slices.Equal(res.Written, []string{"b"}) {
			t.Errorf("result %+v", res)
		}
		if got := resolve(t, c.UserConfig(), "a-admin")["user"]; got != "admin" {
			t.Errorf("a-admin has user %q", got)
		}
		wantCode(t, c.CheckName("a-admin", hosts("a")), problem.SSHNameTaken)
		wantCode(t, c.CheckName("a", hosts("a-admin")), problem.SSHNameTaken)
		if err := c.CheckName("c", hosts("a")); err != nil {
			t.Error(err)
		}
	})
	t.Run("later by the user: ours stays and others go on", func(t *testing.T) {
		c := newConfig(t)
		mustApply(t, c, host("demo"))
		writeUserConfig(t, c, read(t, c.UserConfig())+"Host demo\n  User me\n")
		mustApply(t, c, host("demo"), host("other"))
		if got := resolve(t, c.UserConfig(), "demo")["user"]; got != "user" {
			t.Errorf("demo has user %q", got)
		}
	})
}

func TestOneBadHostDoesNotStopTheOthers(t *testing.T) {
	c := newConfig(t)
	mustApply(t, c, hosts("a", "b")...)
	bad := host("a")
	bad.Forwards = []Forward{{Listen: "80", Target: "x\nProxyCommand evil"}}
	res, err := c.Apply(t.Context(), []Host{bad, host("b"), host("c")})
	wantCode(t, err, problem.MachineInvalid, "machine a")
	if len(res.Refused) != 1 || !slices.Equal(res.Written, []string{"c"}) {
		t.Errorf("result %+v", res)
	}
	if got := read(t, c.ConfigFile()); strings.Contains(got, "evil") || !strings.Contains(got, "Host a\n") {
		t.Errorf("config:\n%s", got)
	}
	if got := resolve(t, c.UserConfig(), "c")["user"]; got != "user" {
		t.Errorf("c has user %q", got)
	}
}

func TestRefusedHostKeepsItsPinnedKey(t *testing.T) {
	c := newConfig(t)
	mustApply(t, c, hosts("a", "b")...)
	before := read(t, c.KnownHostsFile())
	bad := host("a")
	bad.HostKey = "damaged"
	_, err := c.Apply(t.Context(), []Host{bad, host("b")})
	wantCode(t, err, problem.MachineInvalid, "machine a", "ssh_host_ed25519_key.pub")
	if got := read(t, c.KnownHostsFile()); got != before {
		t.Errorf("got %q, want %q", got, before)
	}
	bad = host("a")
	bad.HostKey = otherKey
	mustApply(t, c, bad, host("b"))
	if got := read(t, c.KnownHostsFile()); !strings.Contains(got, otherKey) || strings.Count(got, "\n") != 2 {
		t.Errorf("after a new key: %q", got)
	}
}

func TestValuesThatNeverReachTheFile(t *testing.T) {
	for name, h := range map[string]Host{
		"name with a newline": {Name: "a\nb", UUID: host("a").UUID, HostKey: demoKey},
		"name like an option": {Name: "-oProxyCommand=x", UUID: host("a").UUID, HostKey: demoKey},
		"name of a path":      {Name: "../a", UUID: host("a").UUID, HostKey: demoKey},
		"name of 64":          {Name: strings.Repeat("a", 64), UUID: host("a").UUID, HostKey: demoKey},
		"pattern":             {Name: "*", UUID: host("a").UUID, HostKey: demoKey},
		"uuid":                {Name: "a", UUID: "x y", HostKey: demoKey},
		"no key":              {Name: "a", UUID: host("a").UUID},
		"two keys":            {Name: "a", UUID: host("a").UUID, HostKey: demoKey + "\n" + otherKey},
		"key of another kind": {Name: "a", UUID: host("a").UUID, HostKey: "ssh-rsa AAAA"},
		"endpoint":            {Name: "a", UUID: host("a").UUID, HostKey: demoKey, Endpoint: "1.2.3.4:22\nUser root"},
		"socket endpoint":     {Name: "a", UUID: host("a").UUID, HostKey: demoKey, Endpoint: "/tmp/x"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConfig(t)
			if _, err := c.Apply(t.Context(), []Host{h}); err == nil {
				t.Error("accepted")
			}
			if exists(c.ConfigFile()) || exists(c.UserConfig()) {
				t.Error("something was written")
			}
		})
	}
}

func TestForwardsInTheHostBlock(t *testing.T) {
	c := newConfig(t)
	h := host("demo")
	h.Forwards = []Forward{
		{Listen: "8080", Target: "localhost:3000"},
		{Listen: "[::1]:9", Target: "[::1]:9"},
		{Listen: "/run/a.sock", Target: "/run/b.sock"},
		{Listen: "7000", Target: "localhost:7000", Daemon: true},
	}
	mustApply(t, c, h)
	config := read(t, c.ConfigFile())
	if n := strings.Count(config, "RemoteForward"); n != 2 {
		t.Errorf("%d RemoteForward lines, want 2, and none for admin:\n%s", n, config)
	}
	if got := resolve(t, c.UserConfig(), "demo")["remoteforward"]; got != "[localhost]:8080 [localhost]:3000" {
		t.Errorf("remoteforward %q", got)
	}
	if got := resolve(t, c.UserConfig(), "demo")["exitonforwardfailure"]; got != "no" {
		t.Errorf("exitonforwardfailure %q", got)
	}
}

func TestDirectStyle(t *testing.T) {
	c := newConfig(t, func(o *Options) { o.Style, o.Executable = Direct, "" })
	writeUserConfig(t, c, "Host *\n  ProxyJump bastion\n  Port 99\n")
	h := host("demo")
	h.Endpoint = "127.0.0.1:40022"
	mustApply(t, c, h)
	got := resolve(t, c.UserConfig(), "demo")
	if got["hostname"] != "127.0.0.1" || got["port"] != "40022" || got["proxyjump"] != "" || got["proxycommand"] != "" {
		t.Errorf("resolved %v", got)
	}
	h.Endpoint = ""
	mustApply(t, c, h)
	if got := resolve(t, c.UserConfig(), "demo")["hostname"]; got != "demo.nixvm.invalid" {
		t.Errorf("hostname %q", got)
	}
}

func TestOddPaths(t *testing.T) {
	for _, odd := range []string{"a b", "it's", `say "hi"`, `back\slash`, "star*[x]?", "hash # tag", "ünïcode", "x~y", "a=b", "$HOME"} {
		t.Run(odd, func(t *testing.T) {
			root := filepath.Join(shortDir(t), odd)
			c := newConfig(t, func(o *Options) {
				runtime := o.Layout.Runtime
				o.Layout.State, o.Layout.Runtime = root, runtime
				o.Executable = filepath.Join(root, "100%", "nixvmd")
				o.ProxyArgs = []string{"--home", root}
			})
			writeUserConfig(t, c, "Host *\n  User everyone\n")
			mustApply(t, c, host("demo"))
			got := resolve(t, c.UserConfig(), "demo")
			if got["user"] != "user" || got["identityfile"] != c.IdentityFile() || got["userknownhostsfile"] != c.KnownHostsFile() {
				t.Errorf("identityfile %q, userknownhostsfile %q", got["identityfile"], got["userknownhostsfile"])
			}
			mustApply(t, c, host("demo"), host("b"))
			if err := c.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := read(t, c.UserConfig()); got != "Host *\n  User everyone\n" {
				t.Errorf("left %q", got)
			}
		})
	}
}

func TestResolveAlias(t *testing.T) {
	c := newConfig(t, func(o *Options) { o.Prefix = "vm-" })
	known := func(m string) bool { return m == "demo" || m == "x-admin" }
	for alias, want := range map[string]string{
		"vm-demo": "demo user true", "vm-demo-admin": "demo admin true", "vm-x-admin": "x-admin user true",
		"vm-x-admin-admin": "x-admin admin true", "demo": "  false", "vm-x": "  false", "vm--admin": "  false", "vm-../demo": "  false",
	} {
		machine, account, ok := c.Resolve(alias, known)
		if got := strings.Join([]string{machine, account, map[bool]string{true: "true", false: "false"}[ok]}, " "); got != want {
			t.Errorf("%s: %q, want %q", alias, got, want)
		}
	}
}
