package contract

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

var networkChecks = []check{
	{name: "a firewall is in force", run: func(t *testing.T, g *guest) {
		if rules := g.must(t, "sudo $(command -v nft || echo /usr/sbin/nft) list ruleset"); !strings.Contains(rules, "hook input") {
			t.Errorf("no rules for what comes in:\n%.400s", rules)
		}
	}},
	{name: "a declared port can be reached from outside", run: func(t *testing.T, g *guest) {
		needs(t, g.Connect != nil && g.OpenPort != 0, "how to connect to an open port")
		if err := g.reaches(t, g.OpenPort); err != nil {
			t.Error(err)
		}
	}},
	{name: "no other port can be reached from outside", run: func(t *testing.T, g *guest) {
		needs(t, g.Connect != nil && g.ClosedPort != 0, "how to connect to a closed port")
		if err := g.keepsOut(t, g.ClosedPort); err != nil {
			t.Error(err)
		}
		if g.OpenPort != 0 && g.keepsOut(t, g.OpenPort) == nil {
			t.Error("this check would not have noticed an open port")
		}
	}},
	{name: "what is allowed can be reached", run: func(t *testing.T, g *guest) {
		needs(t, len(g.Allowed) > 0, "what the guest may reach")
		for _, address := range g.Allowed {
			if got := Fetch(t, g.user, address); got != Greeting {
				t.Errorf("%s answers %q", address, got)
			}
		}
	}},
	{name: "private networks cannot be reached", run: func(t *testing.T, g *guest) {
		needs(t, len(g.Blocked) > 0, "what the guest must not reach")
		for _, address := range g.Blocked {
			for who, client := range map[string]*ssh.Client{"user": g.user, "admin": g.admin} {
				if got := Fetch(t, client, address); got == Greeting {
					t.Errorf("%s reached %s", who, address)
				}
			}
		}
	}},
}

// portTools listens on a port for one connection and greets it, with whichever
// program the guest has. It says first which process group it is: a session that ends
// ends no program which waits for a connection.
const portTools = `
read -r _ _ _ _ group _ </proc/self/stat
if command -v python3 >/dev/null; then
	exec timeout 60 python3 -c 'import socket,sys
s = socket.create_server(("", int(sys.argv[1])))
print("listening", sys.argv[3], flush=True)
s.accept()[0].sendall(sys.argv[2].encode())' "$1" "$2" "$group"
fi
echo "listening $group"
if command -v busybox >/dev/null; then echo "$2" | timeout 60 busybox nc -l -p "$1"; else echo "$2" | timeout 60 nc -l "$1"; fi`

// reaches starts a listener in the guest and connects to it from outside.
func (g *guest) reaches(t *testing.T, port int) error {
	t.Helper()
	defer g.listen(t, port)()
	return g.greets(stepContext(t), port)
}

// keepsOut starts a listener in the guest and reports an error if it can be reached
// from outside. A dropped packet is answered by silence, so how long to wait is
// measured by what the guest answers meanwhile: new connections to its sshd, one after
// the other, each of which needs more of it than a greeting.
func (g *guest) keepsOut(t *testing.T, port int) error {
	t.Helper()
	defer g.listen(t, port)()
	ctx, cancel := context.WithCancel(stepContext(t))
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- g.greets(ctx, port) }()
	for range 2 {
		c, err := g.dial("user", ssh.PublicKeys(g.Key))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	cancel()
	if err := <-answered; err == nil {
		return fmt.Errorf("port %d answered", port)
	}
	return nil
}

// greets connects to a port of the guest until it is greeted.
func (g *guest) greets(ctx context.Context, port int) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := greeted(ctx, g.Connect, port)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("port %d: %w", port, err)
		case <-tick.C: // nc may not listen yet
		}
	}
}

// listen starts a listener in the guest, and returns what ends it.
func (g *guest) listen(t *testing.T, port int) func() {
	t.Helper()
	s, err := g.user.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(stepLimit, func() { s.Close() })
	stop := func() { timer.Stop(); s.Close() }
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(fmt.Sprintf("sh -c %s listen %d %s", quote(portTools), port, Greeting)); err != nil {
		t.Fatal(err)
	}
	var group int
	if _, err := fmt.Fscanf(out, "listening %d\n", &group); err != nil {
		stop()
		t.Fatalf("no listener in the guest: %v", err)
	}
	return func() {
		output(t, g.user, fmt.Sprintf("kill -TERM -%d", group))
		stop()
	}
}

func greeted(ctx context.Context, connect func(context.Context, int) (net.Conn, error), port int) error {
	conn, err := connect(ctx, port)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, len(Greeting))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return err
	}
	if string(buf) != Greeting {
		return fmt.Errorf("it says %q", buf)
	}
	return nil
}

// Fetch connects from inside the guest to an address, host:port, and returns the
// first word that comes back, or what went wrong.
func Fetch(t *testing.T, client *ssh.Client, address string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	// bash speaks TCP by itself; no image needs a tool for this check.
	script := `exec 3<>"/dev/tcp/$0/$1" && read -r -n 40 -t 20 word <&3; echo "${word:-nothing}"`
	out, _ := output(t, client, fmt.Sprintf("timeout 30 bash -c %s %s %s 2>&1", quote(script), quote(host), quote(port)))
	lines := strings.Split(out, "\n")
	return lines[len(lines)-1]
}
