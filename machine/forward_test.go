package machine

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestParseForward(t *testing.T) {
	for in, want := range map[string]RemoteForward{
		"8080 127.0.0.1:8080":              {"8080", "127.0.0.1:8080", false},
		"8080   127.0.0.1:8080\tdaemon":    {"8080", "127.0.0.1:8080", true},
		"8080:127.0.0.1:8080":              {"8080", "127.0.0.1:8080", false},
		"127.0.0.1:8080:localhost:80":      {"127.0.0.1:8080", "localhost:80", false},
		"localhost:8080 db.lan:5432":       {"localhost:8080", "db.lan:5432", false},
		"*:8080 localhost:80":              {"*:8080", "localhost:80", false},
		"[::1]:8080 [fd00::1]:80":          {"[::1]:8080", "[fd00::1]:80", false},
		"8080:[::1]:80":                    {"8080", "[::1]:80", false},
		"08080 localhost:0080":             {"8080", "localhost:80", false},
		"/run/x.sock localhost:80":         {"/run/x.sock", "localhost:80", true},
		"/run/x.sock localhost:80 daemon":  {"/run/x.sock", "localhost:80", true},
		"8080 /run/docker.sock":            {"8080", "/run/docker.sock", false},
		"8080:/run/docker.sock":            {"8080", "/run/docker.sock", false},
		"/run/user/1001/a /run/user/0/b.s": {"/run/user/1001/a", "/run/user/0/b.s", true},
	} {
		if got, err := ParseForward(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", in, got, err, want)
		}
	}
}

func TestForwardsThatAreRefused(t *testing.T) {
	for _, in := range []string{
		"", "daemon", "8080", "8080 daemon", "8080 80", "0 localhost:80", "65536 localhost:80", "-1 localhost:80", "8080 localhost:0",
		"8080 localhost:http", "8080 localhost", "8080 :80", ":8080 localhost:80", "host.lan:8080 localhost:80", "8080 ::1:80",
		"[::1%eth0]:8080 localhost:80", "[127.0.0.1]:8080 localhost:80", "8080 localhost:80 deamon", "8080 localhost:80 daemon daemon x",
		"8080 -oProxyCommand=x:80", "8080 $(id):80", "8080 %h:80", `8080 "a b":80`, "8080 a:b:80",
		"run/x.sock localhost:80", "/run/x y localhost:80", "/run/%d.sock localhost:80", "8080 /tmp/", "8080 /tmp/${HOME}",
		"/" + strings.Repeat("a", 100) + " localhost:80", "8080 " + strings.Repeat("a", 300) + ":80",
	} {
		_, err := ParseForward(in)
		wantProblem(t, err, problem.BadParams)
	}
}

func forwards() *rapid.Generator[RemoteForward] {
	return rapid.Custom(func(t *rapid.T) RemoteForward {
		port := rapid.StringMatching(`[1-9][0-9]{0,3}`)
		socket := rapid.StringMatching(`(/[a-z0-9._-]{1,10}){1,4}`)
		f := RemoteForward{Daemon: rapid.Bool().Draw(t, "daemon")}
		if rapid.Bool().Draw(t, "listen on a socket") {
			f.Listen, f.Daemon = socket.Draw(t, "listen"), true
		} else {
			f.Listen = rapid.SampledFrom([]string{"", "*:", "localhost:", "127.0.0.1:", "[::1]:"}).Draw(t, "bind") + port.Draw(t, "port")
		}
		if f.Target = socket.Draw(t, "target"); rapid.Bool().Draw(t, "target is TCP") {
			f.Target = rapid.SampledFrom([]string{"localhost", "10.0.0.1", "[fd00::1]", "a-b.c"}).Draw(t, "host") + ":" + port.Draw(t, "port")
		}
		return f
	})
}

func TestEveryForwardSurvivesPrinting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := forwards().Draw(t, "forward")
		if back, err := ParseForward(f.String()); err != nil || back != f {
			t.Fatalf("%+v -> %q -> %+v, %v", f, f, back, err)
		}
	})
}

func FuzzParseForward(f *testing.F) {
	for _, s := range []string{"8080 127.0.0.1:8080", "8080:[::1]:80 daemon", "/run/a.sock /run/b.sock", "*:1 a:/b", "[::1]:1:[::1]:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fw, err := ParseForward(s)
		if err != nil {
			wantProblem(t, err, problem.BadParams)
			return
		}
		line := fw.String()
		if strings.ContainsAny(line, "\r\n\"'%$~\\#;`") {
			t.Errorf("%q -> %q is not safe in ssh_config", s, line)
		}
		if back, err := ParseForward(line); err != nil || back != fw {
			t.Errorf("%q -> %q -> %+v, %v", s, line, back, err)
		}
	})
}
