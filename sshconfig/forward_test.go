package sshconfig

import (
	"strings"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

func TestParseForward(t *testing.T) {
	for line, want := range map[string]Forward{
		"8080 localhost:3000":               {"8080", "localhost:3000", false},
		"\t8080   localhost:3000  daemon ":  {"8080", "localhost:3000", true},
		"127.0.0.1:80 [::1]:80":             {"127.0.0.1:80", "[::1]:80", false},
		"*:80 db.example:5432":              {"*:80", "db.example:5432", false},
		"/run/user/1000/a.sock /tmp/b.sock": {"/run/user/1000/a.sock", "/tmp/b.sock", false},
		"9000 /tmp/b.sock daemon":           {"9000", "/tmp/b.sock", true},
		"65535 host_with-all.chars:1":       {"65535", "host_with-all.chars:1", false},
	} {
		got, err := ParseForward(line)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
		if again, err := ParseForward(got.String()); err != nil || again != got {
			t.Errorf("%q does not read back: %+v, %v", got, again, err)
		}
	}
}

func TestParseForwardRefuses(t *testing.T) {
	for name, line := range map[string]string{
		"nothing":               "",
		"a SOCKS proxy":         "1080",
		"port 0":                "0 localhost:1",
		"port too large":        "65536 localhost:1",
		"port with sign":        "+80 localhost:1",
		"port with zero":        "080 localhost:1",
		"name for a port":       "http localhost:1",
		"target without a port": "80 localhost",
		"target without a host": "80 :80",
		"token":                 "80 %h:80",
		"environment":           "80 ${HOME}:80",
		"command":               "80 $(reboot):80",
		"newline":               "80 localhost:80\nProxyCommand x",
		"carriage return":       "80 localhost:80\rx",
		"NUL":                   "80 localhost:80\x00",
		"escape":                "80 \x1b[31mlocalhost:80",
		"option":                "-oProxyCommand=x localhost:80",
		"option as the target":  "80 -oProxyCommand=x:80",
		"unknown last word":     "80 localhost:80 demon",
		"four words":            "80 localhost:80 daemon x",
		"relative socket":       "a.sock /tmp/b",
		"socket with dots":      "/run/../etc/x /tmp/b",
		"socket with a space":   "\"/run/a b\" /tmp/b",
		"socket with a token":   "/run/%u /tmp/b",
		"socket too long":       "/" + strings.Repeat("x", 107) + " /tmp/b",
		"zone":                  "80 [fe80::1%eth0]:80",
		"unbracketed address":   "80 ::1:80",
	} {
		t.Run(name, func(t *testing.T) {
			f, err := ParseForward(line)
			if err == nil {
				t.Fatalf("accepted as %+v", f)
			}
			wantCode(t, err, problem.MachineInvalid, "host:port")
		})
	}
}

func TestHeldForwards(t *testing.T) {
	for line, want := range map[string]bool{
		"80 localhost:80": false, "80 localhost:80 daemon": true, "/a /b": true, "80 /b": true, "/a localhost:80": true,
	} {
		if f, err := ParseForward(line); err != nil || f.Held() != want {
			t.Errorf("%q: held %v, %v", line, f.Held(), err)
		}
	}
}

// What is accepted is one line of plain words, whatever came in.
func FuzzParseForward(f *testing.F) {
	f.Add("8080 localhost:3000 daemon")
	f.Add("/run/a /run/b")
	f.Add("[::1]:80 [::1]:80")
	f.Fuzz(func(t *testing.T, line string) {
		fw, err := ParseForward(line)
		if err != nil {
			return
		}
		if again, err := ParseForward(fw.String()); err != nil || again != fw {
			t.Fatalf("%+v reads back as %+v, %v", fw, again, err)
		}
		if s := fw.String(); strings.ContainsAny(s, "\n\r\x00%$\"'`\\;&|<>(){}#") || strings.HasPrefix(s, "-") {
			t.Fatalf("%q", s)
		}
	})
}
