package sshconfig

import (
	"bufio"
	"compress/gzip"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/sshsettings"
)

// documented are the keywords of a manual page, in lower case. The channel types of
// ChannelTimeout are listed in the same way, and begin with a small letter.
func documented(t testing.TB, page string) []string {
	t.Helper()
	f, err := os.Open(page)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	item := regexp.MustCompile(`^\.It Cm ([A-Z][A-Za-z0-9]+)$`)
	var all []string
	for lines := bufio.NewScanner(text); lines.Scan(); {
		if m := item.FindStringSubmatch(lines.Text()); m != nil {
			all = append(all, strings.ToLower(m[1]))
		}
	}
	if len(all) < 80 {
		t.Fatalf("%s has %d keywords: it is written in another way than this test reads", page, len(all))
	}
	return all
}

// printedKeywords are those of `ssh -G`.
func printedKeywords(t testing.TB, ssh string) []string {
	t.Helper()
	out, err := exec.Command(ssh, "-G", "-F", "none", "nixvm.invalid").Output()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(maps.Keys(sshsettings.Parse(string(out))))
}

func checkKeywords(t *testing.T, ssh, page string) {
	t.Helper()
	known := printedKeywords(t, ssh)
	if pages := documented(t, page); pages != nil {
		known = append(known, pages...)
	} else {
		t.Logf("there is no %s here: only what ssh -G prints is checked", page)
	}
	for _, k := range known {
		if keywords[k].care == 0 || keywords[k].why == "" {
			t.Errorf("nothing says how an entry is safe from the user's %s", k)
		}
	}
}

const manualPage = "/usr/share/man/man5/ssh_config.5.gz"

func TestEveryKeywordOfSSHIsTakenCareOf(t *testing.T) { checkKeywords(t, "ssh", manualPage) }

func TestWhatIsSettledIsInEveryEntry(t *testing.T) {
	for _, style := range []Style{Proxy, Direct} {
		for _, endpoint := range []string{"", "127.0.0.1:40022"} {
			c := newConfig(t, func(o *Options) { o.Style = style })
			h := host("demo")
			h.Endpoint = endpoint
			for _, b := range c.blocks(h) {
				set := map[string]bool{}
				for _, o := range b.options {
					k := strings.ToLower(o.keyword)
					if keywords[k].care != settled && k != "identityfile" || set[k] {
						t.Errorf("%s: %s is set, once more or without being in the table as settled", b.alias, o.keyword)
					}
					set[k] = true
				}
				for k, how := range keywords {
					// A connection that no proxy makes has none to be passed.
					if how.care == settled && !set[k] && (style != Direct || k != "proxyusefdpass") {
						t.Errorf("%s, style %s: nothing sets %s", b.alias, style, k)
					}
				}
			}
		}
	}
}

// hostile is what a user's `Host *` may have, for every keyword but those that
// select lines. Each differs from what an entry has.
var hostile = map[string]string{
	"addkeystoagent": "yes", "addressfamily": "inet6", "batchmode": "yes", "bindaddress": "192.0.2.1", "bindinterface": "lo",
	"canonicaldomains": "invalid", "canonicalizefallbacklocal": "no", "canonicalizehostname": "always", "canonicalizemaxdots": "5",
	"canonicalizepermittedcnames": "*.a:*.b", "casignaturealgorithms": "ssh-ed25519", "certificatefile": "/nowhere/cert.pub",
	"channeltimeout": "session=1s", "checkhostip": "yes", "ciphers": "aes128-ctr", "clearallforwardings": "yes", "compression": "yes",
	"connectionattempts": "9", "connecttimeout": "1", "controlmaster": "no", "controlpath": "/tmp/shared", "controlpersist": "1",
	"dynamicforward": "1080", "enableescapecommandline": "yes", "enablesshkeysign": "yes", "escapechar": "none",
	"exitonforwardfailure": "yes", "fingerprinthash": "md5", "forkafterauthentication": "yes", "forwardagent": "yes",
	"forwardx11": "yes", "forwardx11timeout": "1", "forwardx11trusted": "yes", "gatewayports": "yes",
	"globalknownhostsfile": "/nowhere/known", "gssapiauthentication": "yes", "gssapiclientidentity": "me", "gssapidelegatecredentials": "yes",
	"gssapikexalgorithms": "gss-group14-sha256-", "gssapikeyexchange": "yes", "gssapirenewalforcesrekey": "yes",
	"gssapiserveridentity": "it", "gssapitrustdns": "yes", "hashknownhosts": "yes", "hostbasedacceptedalgorithms": "ssh-ed25519",
	"hostbasedauthentication": "yes", "hostkeyalgorithms": "rsa-sha2-512", "hostkeyalias": "other", "hostname": "192.0.2.2",
	"identitiesonly": "no", "identityagent": "/nowhere/agent", "identityfile": "/nowhere/key", "ipqos": "ef", "kbdinteractiveauthentication": "yes",
	"kbdinteractivedevices": "pam", "kexalgorithms": "curve25519-sha256", "knownhostscommand": "/bin/true", "localcommand": "true",
	"localforward": "9000 localhost:9", "loglevel": "DEBUG3", "logverbose": "kex.c:1:*", "macs": "hmac-sha2-256",
	"nohostauthenticationforlocalhost": "yes", "numberofpasswordprompts": "9", "obscurekeystroketiming": "no", "passwordauthentication": "yes",
	"permitlocalcommand": "yes", "permitremoteopen": "a:1", "pkcs11provider": "/nowhere/p11.so", "port": "99",
	"preferredauthentications": "password", "proxycommand": "false", "proxyjump": "bastion", "proxyusefdpass": "yes",
	"pubkeyacceptedalgorithms": "rsa-sha2-512", "pubkeyauthentication": "no", "refuseconnection": "not today", "rekeylimit": "1G",
	"remotecommand": "tmux", "remoteforward": "/tmp/in-the-guest /run/on-the-host", "requesttty": "force", "requiredrsasize": "16384",
	"revokedhostkeys": "/nowhere/revoked", "securitykeyprovider": "/nowhere/sk.so", "sendenv": "SECRET_*", "serveralivecountmax": "99",
	"serveraliveinterval": "999", "sessiontype": "none", "setenv": "TOKEN=secret", "stdinnull": "yes", "streamlocalbindmask": "0000",
	"streamlocalbindunlink": "yes", "stricthostkeychecking": "no", "syslogfacility": "LOCAL0", "tag": "work", "tcpkeepalive": "no",
	"tunnel": "yes", "tunneldevice": "9:9", "updatehostkeys": "yes", "user": "root", "userknownhostsfile": "/dev/null",
	"verifyhostkeydns": "yes", "versionaddendum": "me", "visualhostkey": "yes", "warnweakcrypto": "no", "xauthlocation": "/nowhere/xauth",
}

// structural keywords select lines, and have no value of their own.
var structural = []string{"host", "match", "include", "ignoreunknown"}

// accepts tells the keywords that this ssh knows, and is built for.
func accepts(t *testing.T, ssh string) []string {
	t.Helper()
	var known []string
	for _, k := range slices.Sorted(maps.Keys(hostile)) {
		out, _ := exec.Command(ssh, "-G", "-F", "none", "-o", k+"="+hostile[k], "nixvm.invalid").CombinedOutput()
		switch text := strings.ToLower(string(out)); {
		case strings.Contains(text, "bad configuration option") || strings.Contains(text, "unsupported option"):
			t.Logf("this ssh has no %s", k)
		case k != "refuseconnection":
			known = append(known, k)
		}
	}
	return known
}

// answerOf is what this ssh makes of an alias.
func answerOf(t *testing.T, c *Config, alias string) sshsettings.Settings {
	t.Helper()
	a, err := c.sshG(t.Context(), alias)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestHostileValuesForEveryKeyword(t *testing.T) { checkHostile(t, "ssh") }

// checkHostile applies to a configuration that sets every keyword for every host.
func checkHostile(t *testing.T, ssh string) {
	for k, how := range keywords {
		if hostile[k] == "" && !slices.Contains(structural, k) {
			t.Errorf("the test has no value for %s (%v)", k, how.why)
		}
	}
	known := accepts(t, ssh)
	star := func(cares ...care) string {
		text := "Host *\n"
		for _, k := range known {
			if slices.Contains(cares, keywords[k].care) {
				text += "  " + k + " " + hostile[k] + "\n"
			}
		}
		return text
	}
	h := host("demo")
	h.Forwards = []Forward{
		{Listen: "8080", Target: "localhost:3000"}, {Listen: "[::1]:9", Target: "[::1]:9"}, {Listen: "*:81", Target: "db.example:5432"},
	}
	open := func(t *testing.T, text string, change ...func(*Options)) *Config {
		c := newConfig(t, append(change, func(o *Options) { o.SSH = ssh })...)
		writeUserConfig(t, c, text)
		return c
	}

	t.Run("what is settled is as we set it, and what is harmless is no matter", func(t *testing.T) {
		c := open(t, star(settled, harmless))
		res := mustApply(t, c, h)
		if len(res.Inherited) != 0 || !res.Included {
			t.Errorf("result %+v", res)
		}
		for _, b := range c.blocks(h) {
			a := answerOf(t, c, b.alias)
			if m := compare(b, a); m != nil {
				t.Errorf("%s: %s is %q, want %q", b.alias, m.keyword, m.got, m.want)
			}
			for _, o := range b.options {
				k := strings.ToLower(o.keyword)
				if o.value == hostile[k] {
					t.Errorf("the hostile value of %s is the one that is wanted", k)
				}
				if got := a.First(k); keywords[k].care == settled && got == hostile[k] {
					t.Errorf("%s: the user's %s reaches the VM", b.alias, k)
				}
			}
			if got := strings.Join(a["setenv"], " "); got != "NIXVM=1" {
				t.Errorf("%s: the environment %q reaches the guest", b.alias, got)
			}
		}
	})
	for _, k := range known {
		switch keywords[k].care {
		case opens:
			t.Run("a "+k+" is refused", func(t *testing.T) {
				text := "# mine\nHost *\n  " + k + " " + hostile[k] + "\n"
				c := open(t, text)
				for what, err := range map[string]error{
					"before anything is made": c.CheckInherited(t.Context(), "demo"),
					"apply":                   func() error { _, err := c.Apply(t.Context(), []Host{h}); return err }(),
				} {
					wantCode(t, err, problem.SSHInherited, spelling[k], c.UserConfig()+":3", "accept_forwards")
					if t.Failed() {
						t.Log(what)
					}
				}
				if got := read(t, c.UserConfig()); got != text || exists(c.ConfigFile()) {
					t.Errorf("something was written: %q", got)
				}
				c = open(t, text, func(o *Options) { o.AcceptForwards = true })
				if err := c.CheckInherited(t.Context(), "demo"); err != nil {
					t.Error(err)
				}
				res := mustApply(t, c, h)
				if len(res.Inherited) != 2 || res.Inherited[0].Keyword != spelling[k] || res.Inherited[0].Machine != "demo" {
					t.Errorf("accepted, and not told: %+v", res.Inherited)
				}
			})
		case told:
			t.Run("a "+k+" is named", func(t *testing.T) {
				c := open(t, "Host b*\n  "+k+" "+hostile[k]+"\nHost *\n  "+k+" "+hostile[k]+"\n")
				before, err := c.Inherited(t.Context(), "demo")
				if err != nil {
					t.Fatal(err)
				}
				res := mustApply(t, c, h)
				after, err := c.Inherited(t.Context(), "demo")
				if err != nil {
					t.Fatal(err)
				}
				for when, in := range map[string][]Inherited{"before": before, "apply": res.Inherited, "after": after} {
					if len(in) != 2 {
						t.Errorf("%s: %+v, want one for each account", when, in)
						continue
					}
					for _, i := range in {
						if i.Keyword != spelling[k] || i.Value != hostile[k] || i.Where != c.UserConfig()+map[string]string{"before": ":4", "apply": ":6", "after": ":6"}[when] || i.Effect() == "" {
							t.Errorf("%s: %+v", when, i)
						}
					}
				}
			})
		}
	}
}

// The locale, which Debian's own configuration sends to every host, is no secret.
func TestLocaleIsNotWorthAWord(t *testing.T) {
	c := newConfig(t)
	writeUserConfig(t, c, "Host *\n  SendEnv LANG LC_*\n  SendEnv COLORTERM\nHost b*\n  SendEnv OTHER\n")
	res := mustApply(t, c, host("demo"))
	if len(res.Inherited) != 2 || res.Inherited[0].String() != "SendEnv COLORTERM ("+c.UserConfig()+":5)" {
		t.Errorf("%v", res.Inherited)
	}
}

func TestForwardThatComesLaterIsNamedAndTakesNothingAway(t *testing.T) {
	c := newConfig(t)
	writeUserConfig(t, c, "Host a\n")
	mustApply(t, c, host("demo"))
	sub := filepath.Join(shortDir(t), "x.conf")
	if err := os.WriteFile(sub, []byte("LocalForward 9000 localhost:9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	writeUserConfig(t, c, read(t, c.UserConfig())+"Host other\n  Include "+sub+"\nHost *\n  Include "+sub+"\n")
	h := host("demo")
	h.Forwards = []Forward{{Listen: "8080", Target: "localhost:3000"}}
	res, err := c.Apply(t.Context(), []Host{h, host("fresh")})
	wantCode(t, err, problem.SSHInherited, "fresh", sub+":1")
	if len(res.Refused) != 1 || len(res.Inherited) != 1 || res.Inherited[0].Machine != "demo" || !slices.Equal(res.Written, []string{"demo"}) {
		t.Errorf("result %+v", res)
	}
	config := read(t, c.ConfigFile())
	if !strings.Contains(config, "RemoteForward localhost:8080") || strings.Contains(config, "fresh") {
		t.Errorf("config:\n%s", config)
	}
}

// An agent that never answers, a terminal for everything: what breaks must not.
func TestRealProgramsUnderAHostileHostStar(t *testing.T) {
	c, g := live(t, host("demo"))
	silent, err := net.Listen("unix", filepath.Join(shortDir(t), "agent"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	t.Setenv("SSH_AUTH_SOCK", silent.Addr().String())
	writeUserConfig(t, c, read(t, c.UserConfig())+"  IdentityAgent "+silent.Addr().String()+
		"\n  RequestTTY force\n  RemoteCommand tmux\n  StdinNull yes\n  SessionType none\n  ForkAfterAuthentication yes\n  IdentitiesOnly no\n  PubkeyAcceptedAlgorithms rsa-sha2-512\n")
	if out, err := sshTo(t, c, g, "demo", "printf", `'a\nb'`); err != nil || out != "a\nb" {
		t.Errorf("ssh: %v %q (a terminal would have made it a\\r\\nb)", err, out)
	}
	batch := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(batch, []byte("pwd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("sftp"); err != nil {
		t.Skip("no sftp here: install openssh-client to run the rest of this test")
	}
	out, err := runCommand("sftp", "-F", c.UserConfig(), "-o", "User="+g.user, "-b", batch, "demo")
	if err != nil || !strings.Contains(out, "Remote working directory") {
		t.Errorf("sftp: %v %q", err, out)
	}
}
