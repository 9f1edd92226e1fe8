package forward

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]Forward{
		"8080 127.0.0.1:8080":                    {"8080", "127.0.0.1:8080", false},
		"8080   127.0.0.1:8080\tdaemon":          {"8080", "127.0.0.1:8080", true},
		"\t8080   localhost:3000  daemon ":       {"8080", "localhost:3000", true},
		"8080:127.0.0.1:8080":                    {"8080", "127.0.0.1:8080", false},
		"127.0.0.1:8080:localhost:80":            {"127.0.0.1:8080", "localhost:80", false},
		"localhost:8080 db.lan:5432":             {"localhost:8080", "db.lan:5432", false},
		"*:8080 localhost:80":                    {"*:8080", "localhost:80", false},
		"[::1]:8080 [fd00::1]:80":                {"[::1]:8080", "[fd00::1]:80", false},
		"8080:[::1]:80":                          {"8080", "[::1]:80", false},
		"08080 localhost:0080":                   {"8080", "localhost:80", false},
		"65535 host_with-all.chars:1":            {"65535", "host_with-all.chars:1", false},
		"8080 example.com.:80":                   {"8080", "example.com.:80", false},
		"/run/x.sock localhost:80":               {"/run/x.sock", "localhost:80", true},
		"/run/x.sock localhost:80 daemon":        {"/run/x.sock", "localhost:80", true},
		"8080 /run/docker.sock":                  {"8080", "/run/docker.sock", false},
		"8080:/run/docker.sock":                  {"8080", "/run/docker.sock", false},
		"9000 /tmp/b.sock daemon":                {"9000", "/tmp/b.sock", true},
		"/run/user/1001/a /run/user/0/b.s":       {"/run/user/1001/a", "/run/user/0/b.s", true},
		"8080 a-b--c.x_y.z1:80":                  {"8080", "a-b--c.x_y.z1:80", false},
		"8080 " + strings.Repeat("a", 60) + ":1": {"8080", strings.Repeat("a", 60) + ":1", false},
	} {
		got, err := Parse(in)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", in, got, err, want)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%q: what Parse made is not valid: %v", in, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, in := range map[string]string{
		"nothing": "", "one word": "daemon", "a SOCKS proxy": "8080", "a SOCKS proxy of the daemon": "8080 daemon",
		"a port for a target": "8080 80", "port 0": "0 localhost:80", "port too large": "65536 localhost:80", "negative": "-1 localhost:80",
		"sign": "+80 localhost:1", "target port 0": "8080 localhost:0", "a name for a port": "8080 localhost:http", "no port": "8080 localhost",
		"no host": "8080 :80", "nothing to bind": ":8080 localhost:80", "a name to bind": "host.lan:8080 localhost:80",
		"IPv6 without brackets": "8080 ::1:80", "zone": "[::1%eth0]:8080 localhost:80", "zone of the target": "80 [fe80::1%eth0]:80",
		"brackets around IPv4": "[127.0.0.1]:8080 localhost:80", "another last word": "8080 localhost:80 deamon",
		"words after daemon": "8080 localhost:80 daemon daemon x", "option": "8080 -oProxyCommand=x:80", "option first": "-oProxyCommand=x localhost:80",
		"command": "8080 $(id):80", "token": "8080 %h:80", "variable": "80 ${HOME}:80", "quotes": `8080 "a b":80`, "three parts": "8080 a:b:80",
		"relative socket": "run/x.sock localhost:80", "socket with a blank": "/run/x y localhost:80", "socket with a token": "/run/%d.sock localhost:80",
		"directory": "8080 /tmp/", "root": "8080 /", "variable in a path": "8080 /tmp/${HOME}", "dots": "8080 /tmp/../x", "dots to listen": "/tmp/../x /tmp/y",
		"a dot": "8080 /tmp/./x", "two slashes": "8080 //tmp/x", "long path": "/" + strings.Repeat("a", 100) + " localhost:80",
		"long host": "8080 " + strings.Repeat("a", 300) + ":80", "hyphen at the end": "8080 foo-:80", "hyphen before a dot": "8080 foo-.x:80",
		"empty label": "8080 a..b:80", "two dots at the end": "8080 a..:80", "a dot alone": "8080 .:80",
		"newline between": "8080\nlocalhost:80", "newline after": "80 localhost:80\nProxyCommand x", "carriage return": "80 localhost:80\rx",
		"NUL": "80 localhost:80\x00", "escape": "80 \x1b[31mlocalhost:80", "not text": "80 localhost\xff:80",
	} {
		f, err := Parse(in)
		if !problem.HasCode(err, problem.BadParams) || problem.From(err).Hint == "" {
			t.Errorf("%s, %q: accepted as %+v, %v", name, in, f, err)
		}
	}
}

// A value that was made by hand must not be another line than it seems.
func TestValidate(t *testing.T) {
	for _, f := range []Forward{
		{},
		{Listen: "80", Target: "x\nProxyCommand evil"},
		{Listen: "080", Target: "a:1"},
		{Listen: "80", Target: "a:01"},
		{Listen: "80", Target: "a:1 daemon"},
		{Listen: "80 a:1", Target: "daemon"},
	} {
		if err := f.Validate(); !problem.HasCode(err, problem.BadParams) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestHeld(t *testing.T) {
	for line, want := range map[string]bool{
		"80 localhost:80": false, "80 localhost:80 daemon": true, "/a /b": true, "80 /b": true, "/a localhost:80": true,
	} {
		if f, err := Parse(line); err != nil || f.Held() != want {
			t.Errorf("%q: held %v, %v", line, f.Held(), err)
		}
	}
}

func TestPort(t *testing.T) {
	for line, want := range map[string]int{"80 a:1": 80, "[::1]:81 a:1": 81, "*:82 a:1": 82, "/a b:1": 0} {
		if f, err := Parse(line); err != nil || f.Port() != want {
			t.Errorf("%q: port %d, %v", line, f.Port(), err)
		}
	}
}

func forwards() *rapid.Generator[Forward] {
	return rapid.Custom(func(t *rapid.T) Forward {
		port := rapid.StringMatching(`[1-9][0-9]{0,3}`)
		socket := rapid.StringMatching(`(/[a-z0-9][a-z0-9._-]{1,9}){1,4}`)
		f := Forward{Daemon: rapid.Bool().Draw(t, "daemon")}
		if rapid.Bool().Draw(t, "listen on a socket") {
			f.Listen, f.Daemon = socket.Draw(t, "listen"), true
		} else {
			f.Listen = rapid.SampledFrom([]string{"", "*:", "localhost:", "127.0.0.1:", "[::1]:"}).Draw(t, "bind") + port.Draw(t, "port")
		}
		if f.Target = socket.Draw(t, "target"); rapid.Bool().Draw(t, "target is TCP") {
			f.Target = rapid.SampledFrom([]string{"localhost", "10.0.0.1", "[fd00::1]", "a-b.c", "x."}).Draw(t, "host") + ":" + port.Draw(t, "port")
		}
		return f
	})
}

func TestEveryForwardSurvivesPrinting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := forwards().Draw(t, "forward")
		if back, err := Parse(f.String()); err != nil || back != f {
			t.Fatalf("%+v -> %q -> %+v, %v", f, f, back, err)
		}
	})
}

// Accepted input is one line of plain words, for any input, and is accepted
// again: nothing that one part of nixvm takes is refused by another.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"8080 127.0.0.1:8080", "8080:[::1]:80 daemon", "/run/a.sock /run/b.sock", "*:1 a:/b", "[::1]:1:[::1]:2", "8080 example.com.:80",
		"8080 foo-:80", "/tmp/../x a:1", "8080\nlocalhost:80",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fw, err := Parse(s)
		if err != nil {
			if !problem.HasCode(err, problem.BadParams) || fw != (Forward{}) {
				t.Fatalf("%+v, %v", fw, err)
			}
			return
		}
		line := fw.String()
		if strings.ContainsAny(line, "\n\r\x00%$\"'`\\;&|<>(){}#~") || strings.HasPrefix(line, "-") {
			t.Errorf("%q -> %q is not safe in ssh_config", s, line)
		}
		if back, err := Parse(line); err != nil || back != fw || fw.Validate() != nil {
			t.Errorf("%q -> %q -> %+v, %v, %v", s, line, back, err, fw.Validate())
		}
		listen, target := fw.Args()
		if again, err := Parse(listen + " " + target); err != nil || again.Target != fw.Target || again.Port() != fw.Port() {
			t.Errorf("%q: as arguments it is %+v, %v", s, again, err)
		}
	})
}
