package contract

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

var serviceChecks = []check{
	{name: "the image says its version", run: func(t *testing.T, g *guest) {
		got := g.must(t, "cat /etc/nixos-image-version")
		if got == "" || g.Version != "" && got != g.Version {
			t.Errorf("/etc/nixos-image-version is %q, want %q", got, g.Version)
		}
	}},
	{name: "everything started: no failed unit", run: func(t *testing.T, g *guest) {
		out, status := output(t, g.admin, "[ -d /run/systemd/system ] || exit 77; systemctl --failed --plain --no-legend")
		if status == 77 {
			t.Skip("the guest does not run systemd")
		}
		if out != "" {
			t.Errorf("failed: %s", out)
		}
	}},
	{name: "an NTP client keeps the clock, where it reaches a server", run: func(t *testing.T, g *guest) {
		out, status := output(t, g.admin, "[ -d /run/systemd/system ] || exit 77; systemctl cat systemd-timesyncd.service >/dev/null && systemctl is-active systemd-timesyncd.service")
		if status == 77 {
			t.Skip("the guest does not run systemd")
		}
		if out != "active" {
			t.Errorf("systemd-timesyncd is %q", out)
		}
	}},
	{name: "programs that are not from Nix run, as the server of VS Code does", run: func(t *testing.T, g *guest) {
		g.must(t, "test -e /lib64/ld-linux-x86-64.so.2")
	}},
	{name: "scripts find what their first lines name", run: func(t *testing.T, g *guest) {
		for _, first := range []string{"/bin/sh", "/bin/bash", "/usr/bin/env bash"} {
			if got := g.must(t, `printf '#!%s\necho well\n' `+quote(first)+` > ~/.contract && chmod +x ~/.contract && ~/.contract; rm -f ~/.contract`); got != "well" {
				t.Errorf("a script that begins with #!%s says %q", first, got)
			}
		}
	}},
	{name: "programs find certificates and time zones", nixos: true, run: func(t *testing.T, g *guest) {
		g.must(t, "test -s /etc/ssl/certs/ca-certificates.crt && test -e /etc/localtime && test -e /usr/share/zoneinfo/Europe/Berlin")
	}},
	{name: "nothing of the boot was in vain: no bad unit, no file that could not be made", nixos: true, run: func(t *testing.T, g *guest) {
		if out := g.must(t, `systemctl list-units --all --plain --no-legend --state=bad-setting,error,not-found | awk '$2 == "bad-setting" || $2 == "error"'`); out != "" {
			t.Errorf("bad units: %s", out)
		}
		if out := g.must(t, "sudo journalctl --boot --quiet --output=cat --priority=warning --unit=systemd-tmpfiles-setup.service"); out != "" {
			t.Errorf("systemd-tmpfiles says: %s", out)
		}
	}},
	{name: "nix's database knows the running system", modes: withNix, nixos: true, run: func(t *testing.T, g *guest) {
		g.must(t, "nix-store --check-validity $(readlink -f /run/current-system)")
	}},
	{name: "the serial console offers a login", run: func(t *testing.T, g *guest) {
		needs(t, g.Console != nil, "what the console shows")
		if text := g.Console(); !strings.Contains(text, " login:") {
			t.Errorf("the console shows:\n%s", text)
		}
	}},
	{name: "the guest agent answers", run: func(t *testing.T, g *guest) {
		g.agent(t, `{"execute":"guest-ping"}`)
	}},
	{name: "the guest agent freezes and thaws the file systems", run: func(t *testing.T, g *guest) {
		var n int
		if err := json.Unmarshal(g.agent(t, `{"execute":"guest-fsfreeze-freeze"}`), &n); err != nil || n < 1 {
			t.Errorf("froze %d file systems, %v", n, err)
		}
		var thawed int
		if err := json.Unmarshal(g.agent(t, `{"execute":"guest-fsfreeze-thaw"}`), &thawed); err != nil || thawed != n {
			t.Errorf("thawed %d file systems of %d, %v", thawed, n, err)
		}
		g.must(t, "sudo touch /var/.contract && sudo rm /var/.contract")
	}},
	{name: "the clock can be stepped, as after a resume", run: func(t *testing.T, g *guest) {
		needs(t, g.Agent != nil, "how to reach the guest agent")
		set := func(at time.Time) {
			g.agent(t, fmt.Sprintf(`{"execute":"guest-set-time","arguments":{"time":%d}}`, at.UnixNano()))
		}
		behind := func() time.Duration {
			n, err := strconv.ParseInt(g.must(t, "date +%s"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return time.Since(time.Unix(n, 0)).Round(time.Second)
		}
		set(time.Now().Add(-time.Hour))
		if d := behind(); d < 50*time.Minute {
			t.Errorf("after setting the clock back an hour it is %s behind", d)
		}
		set(time.Now())
		if d := behind(); d > time.Minute || d < -time.Minute {
			t.Errorf("after setting the clock it is %s behind", d)
		}
	}},
}

func (g *guest) agent(t *testing.T, request string) []byte {
	t.Helper()
	needs(t, g.Agent != nil, "how to reach the guest agent")
	answer, err := g.Agent(stepContext(t), request)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// lastChecks end the guest.
var lastChecks = []check{
	{name: "the power button shuts the guest down", run: func(t *testing.T, g *guest) {
		needs(t, g.PowerOff != nil, "how to press the power button")
		if err := g.PowerOff(stepContext(t)); err != nil {
			t.Fatal(err)
		}
	}},
}
