package contract

import (
	"strconv"
	"testing"

	"github.com/nixvm/nixvm/internal/sshsettings"
)

var sshChecks = []check{
	{name: "TCP forwarding is allowed", run: func(t *testing.T, g *guest) {
		conn, err := g.user.DialContext(stepContext(t), "tcp", "127.0.0.1:22")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		banner := make([]byte, 4)
		if _, err := conn.Read(banner); err != nil || string(banner) != "SSH-" {
			t.Errorf("through the forward came %q, %v", banner, err)
		}
	}},
	{name: "remote forwarding is allowed", run: func(t *testing.T, g *guest) {
		l, err := g.user.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}},
	{name: "a forward takes over the socket of a lost connection", run: func(t *testing.T, g *guest) {
		if _, status := output(t, g.user, "rm -f /tmp/contract.sock; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"/tmp/contract.sock\")'"); status != 0 {
			// Without Python: sshd itself leaves its socket behind when its side ends.
			first, err := g.user.ListenUnix("/tmp/contract.sock")
			if err != nil {
				t.Fatal(err)
			}
			defer first.Close()
		}
		again, err := g.user.ListenUnix("/tmp/contract.sock")
		if err != nil {
			t.Fatalf("StreamLocalBindUnlink: %v", err)
		}
		again.Close()
	}},
	{name: "sshd is set up as the contract says", run: func(t *testing.T, g *guest) {
		got := sshsettings.Parse(g.must(t, "sudo $(command -v sshd || echo /usr/sbin/sshd) -T"))
		for key, want := range map[string]string{
			"permitrootlogin": "no", "passwordauthentication": "no", "kbdinteractiveauthentication": "no",
			"allowtcpforwarding": "yes", "streamlocalbindunlink": "yes", "allowagentforwarding": "no", "x11forwarding": "no",
		} {
			if !got.Is(key, want) {
				t.Errorf("%s is %q, want %q", key, got.First(key), want)
			}
		}
		if n, _ := strconv.Atoi(got.First("clientaliveinterval")); n <= 0 || n > 300 {
			t.Errorf("clientaliveinterval is %q: a lost client would hold its forwards", got.First("clientaliveinterval"))
		}
	}},
}
