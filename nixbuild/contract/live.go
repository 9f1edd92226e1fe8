package contract

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// ApplyIdentity is the program of the guest that takes a new generation of the
// identity while it runs.
const ApplyIdentity = "/etc/nixvm/apply-identity"

// liveChecks give the running guest other identities, and its own again.
var liveChecks = []check{
	{name: "the program that takes a new identity is root's", modes: readOnlyRoot, since: 2, run: func(t *testing.T, g *guest) {
		g.isRoots(t, ApplyIdentity)
	}},
	{name: "a running guest takes a new generation of its identity", modes: readOnlyRoot, since: 2, run: func(t *testing.T, g *guest) {
		g.canBeRenewed(t)
		uptime := g.must(t, "cat /proc/sys/kernel/random/boot_id")
		files := maps.Clone(g.Files)
		key, _ := newKey(t)
		files["tcp_ports"] = fmt.Sprintf("%d\n%d\n", g.OpenPort, g.ClosedPort)
		files["hosts"] += "192.0.2.77 live.example\n"
		files["resolv.conf"] = "nameserver 192.0.2.53\n"
		files["user_authorized_keys"] += string(ssh.MarshalAuthorizedKey(key.PublicKey()))
		files["root_password_hash"] = "$6$salt$zyxwvutsrqponmlkjihgfedcba\n"
		files["static_ip"] = "address=192.0.2.2/24\n"
		pending := g.renew(t, files)
		if !pending["static_ip"] {
			t.Error("it does not say that its address is another one at its next boot only")
		}
		if g.Connect != nil {
			if err := g.reaches(t, g.ClosedPort); err != nil {
				t.Errorf("the port that was opened: %v", err)
			}
		}
		for command, want := range map[string]string{
			"getent hosts live.example | tr -s ' '":    "192.0.2.77 live.example",
			"cat /etc/resolv.conf":                     "nameserver 192.0.2.53",
			"cat /proc/sys/kernel/random/boot_id":      uptime,
			"sudo cat /var/identity/tcp_ports | xargs": fmt.Sprint(g.OpenPort, " ", g.ClosedPort),
		} {
			prints(command, want)(t, g)
		}
		if shadow := g.must(t, "sudo sed -n 's/^root:\\([^:]*\\):.*/\\1/p' /etc/shadow"); !pending["root_password_hash"] && shadow != strings.TrimSpace(files["root_password_hash"]) {
			t.Errorf("the password of root is %q", shadow)
		}
		client, err := g.dial("user", ssh.PublicKeys(key))
		if err != nil {
			t.Fatalf("user cannot log in with the key that was added: %v", err)
		}
		client.Close()
	}},
	{name: "another host name, machine id and host key come into force", modes: readOnlyRoot, since: 2, run: func(t *testing.T, g *guest) {
		g.canBeRenewed(t)
		files := maps.Clone(g.Files)
		host, private := newKey(t)
		files["hostname"], files["machine-id"], files["ssh_host_ed25519_key"] = "renewed\n", strings.Repeat("5", 32)+"\n", private
		g.renew(t, files)
		prints("hostname; cat /etc/machine-id", "renewed\n"+strings.Repeat("5", 32))(t, g)
		pinned := g.HostKey
		defer func() { g.HostKey = pinned }()
		g.HostKey = host.PublicKey()
		g.answers(t)
	}},
	{name: "a medium that is damaged changes nothing", modes: readOnlyRoot, since: 2, run: func(t *testing.T, g *guest) {
		g.canBeRenewed(t)
		before := g.must(t, "sudo cat /var/identity/generation")
		files := maps.Clone(g.Files)
		files["sha256sums"] = strings.Repeat("0", 64) + "  hosts\n"
		if _, err := g.Renew(files); err != nil {
			t.Fatal(err)
		}
		if out, status := g.apply(t); status == 0 {
			t.Errorf("it was taken: %s", out)
		}
		if after := g.must(t, "sudo cat /var/identity/generation"); after != before {
			t.Errorf("generation %s, before %s", after, before)
		}
	}},
	{name: "an identity can be taken back", modes: readOnlyRoot, since: 2, run: func(t *testing.T, g *guest) {
		g.canBeRenewed(t)
		g.renew(t, g.Files)
		prints("hostname; sudo cat /var/identity/tcp_ports; sudo grep -c live.example /etc/hosts || true",
			strings.TrimSpace(g.Hostname)+"\n"+strings.TrimSpace(g.Files["tcp_ports"])+"\n0")(t, g)
		if g.Connect != nil {
			if err := g.reaches(t, g.OpenPort); err != nil {
				t.Error(err)
			}
		}
	}},
}

// isRoots checks that a program is root's, and does nothing for user.
func (g *guest) isRoots(t *testing.T, program string) {
	t.Helper()
	if got := g.must(t, "stat -L -c %U:%a "+program); got != "root:755" && got != "root:555" {
		t.Errorf("owner and mode of %s are %s", program, got)
	}
	if out, status := output(t, g.user, program); status == 0 {
		t.Errorf("user can run it: %s", out)
	}
}

// newKey makes an SSH key; private is its file.
func newKey(t *testing.T) (key ssh.Signer, private string) {
	t.Helper()
	_, made, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = ssh.NewSignerFromKey(made); err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(made, "")
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(block))
}

func (g *guest) canBeRenewed(t *testing.T) {
	t.Helper()
	needs(t, g.Renew != nil && len(g.Files) > 0, "how to give the guest another medium")
	needs(t, g.Agent != nil, "how to reach the guest agent")
}

// answers waits until sshd has the host key: it is told to read its configuration
// again, and until it has done that it closes what it accepted meanwhile.
func (g *guest) answers(t *testing.T) {
	t.Helper()
	ctx := stepContext(t)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		client, err := g.dial("admin", ssh.PublicKeys(g.Key))
		if err == nil {
			client.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("sshd does not have the new host key: %v", err)
		}
	}
}

// renew gives the guest these files, and returns those of them that it has not put
// into force.
func (g *guest) renew(t *testing.T, files map[string]string) (pending map[string]bool) {
	t.Helper()
	generation, err := g.Renew(files)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	out, status := g.apply(t)
	t.Logf("generation %d: %.1f s", generation, time.Since(began).Seconds())
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if want := fmt.Sprintf("generation %d", generation); status != 0 || lines[len(lines)-1] != want {
		t.Fatalf("exit status %d: %s; want %q", status, out, want)
	}
	pending = map[string]bool{}
	for _, line := range lines[:len(lines)-1] {
		name, ok := strings.CutPrefix(line, "pending ")
		if !ok {
			t.Errorf("it prints %q", line)
		}
		pending[name] = true
	}
	return pending
}

// apply runs the guest's program as the host does, by the agent, and returns what it
// prints and its exit status.
func (g *guest) apply(t *testing.T) (out string, status int) {
	t.Helper()
	return g.runs(t, ApplyIdentity)
}

// runs runs a program of the guest by the agent.
func (g *guest) runs(t *testing.T, program string) (out string, status int) {
	t.Helper()
	var started struct{ PID int }
	request := fmt.Sprintf(`{"execute":"guest-exec","arguments":{"path":%q,"capture-output":true}}`, program)
	if err := json.Unmarshal(g.agent(t, request), &started); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), stepLimit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		var now struct {
			Exited   bool
			ExitCode int    `json:"exitcode"`
			Out      []byte `json:"out-data"`
			Err      []byte `json:"err-data"`
		}
		if err := json.Unmarshal(g.agent(t, fmt.Sprintf(`{"execute":"guest-exec-status","arguments":{"pid":%d}}`, started.PID)), &now); err != nil {
			t.Fatal(err)
		}
		if now.Exited && now.ExitCode != 0 {
			return string(now.Err), now.ExitCode
		} else if now.Exited {
			return string(now.Out), 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s does not end within %s", program, stepLimit)
		}
	}
}
