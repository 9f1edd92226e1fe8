package sshconfig

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
)

// newHolder holds on to a guest; changes are sent to the channel.
func newHolder(t *testing.T, c *Config, g *guest) (*Holder, *changes) {
	t.Helper()
	signer, err := c.Signer()
	if err != nil {
		t.Fatal(err)
	}
	seen := &changes{}
	h := NewHolder(HolderOptions{Dial: g.dial, User: g.user, HostKey: g.hostKey, Signer: signer, OnChange: seen.add})
	t.Cleanup(h.Close)
	return h, seen
}

// changes collects what OnChange was told.
type changes struct {
	mu  sync.Mutex
	all [][]ForwardState
}

func (c *changes) add(s []ForwardState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, s)
}

func (c *changes) last() []ForwardState {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) == 0 {
		return nil
	}
	return c.all[len(c.all)-1]
}

func (c *changes) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// hold1 waits until the only forward is in a state.
func hold1(t *testing.T, h *Holder, want HoldState) ForwardState {
	t.Helper()
	eventually(t, "the forward is "+string(want), func() bool {
		s := h.States()
		return len(s) == 1 && s[0].State == want
	})
	return h.States()[0]
}

func TestHolderForwardsSocketsAndPorts(t *testing.T) {
	c := newConfig(t)
	g := newGuest(t, c)
	g.start(t)
	dir := shortDir(t)
	for name, f := range map[string]Forward{
		"socket to socket": {Listen: filepath.Join(dir, "a"), Target: echoServer(t, "unix", filepath.Join(dir, "target"))},
		"socket to port":   {Listen: filepath.Join(dir, "b"), Target: echoServer(t, "tcp", "127.0.0.1:0")},
		"port to port":     {Listen: freeAddress(t), Target: echoServer(t, "tcp", "127.0.0.1:0"), Daemon: true},
		"port to socket":   {Listen: freeAddress(t), Target: echoServer(t, "unix", filepath.Join(dir, "target2"))},
	} {
		t.Run(name, func(t *testing.T) {
			h, seen := newHolder(t, c, g)
			if err := h.Set([]Forward{f}); err != nil {
				t.Fatal(err)
			}
			hold1(t, h, Active)
			network := "tcp"
			if isSocket(f.Listen) {
				network = "unix"
			}
			for range 3 {
				if got := echo(t, network, f.Listen); got != "ping" {
					t.Fatalf("got %q", got)
				}
			}
			if last := seen.last(); len(last) != 1 || last[0].State != Active {
				t.Errorf("OnChange was told %+v", last)
			}
			if err := h.Set(nil); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the guest stops listening", func() bool {
				conn, err := net.Dial(network, f.Listen)
				if err == nil {
					_ = conn.Close()
				}
				return err != nil
			})
		})
	}
}

func TestHolderBarePortAndAllInterfaces(t *testing.T) {
	c := newConfig(t)
	g := newGuest(t, c, "GatewayPorts clientspecified")
	g.start(t)
	target := echoServer(t, "tcp", "127.0.0.1:0")
	for _, bind := range []string{"", "*:", "localhost:"} {
		_, port, _ := net.SplitHostPort(freeAddress(t))
		h, _ := newHolder(t, c, g)
		if err := h.Set([]Forward{{Listen: bind + port, Target: target, Daemon: true}}); err != nil {
			t.Fatal(err)
		}
		hold1(t, h, Active)
		if got := echo(t, "tcp", "127.0.0.1:"+port); got != "ping" {
			t.Errorf("bind %q: %q", bind, got)
		}
		h.Close()
	}
}

func TestHolderReconnects(t *testing.T) {
	c := newConfig(t)
	g := newGuest(t, c)
	socket := filepath.Join(shortDir(t), "s")
	h, _ := newHolder(t, c, g)
	if err := h.Set([]Forward{{Listen: socket, Target: echoServer(t, "tcp", "127.0.0.1:0")}}); err != nil {
		t.Fatal(err)
	}
	if s := hold1(t, h, Lost); s.State != Lost {
		t.Errorf("before the guest is up: %+v", s)
	}
	g.start(t)
	h.Retry()
	hold1(t, h, Active)

	// The session's process dies with the connection; the socket file stays
	// behind, as after a crash of the guest's sshd, and must be taken over.
	killSessions(t, g)
	eventually(t, "the holder comes back over the stale socket", func() bool {
		return len(h.States()) == 1 && h.States()[0].State == Active && echo(t, "unix", socket) == "ping"
	})
}

// killSessions ends sshd's children, which serve the connections.
func killSessions(t *testing.T, g *guest) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + itoa(g.sshd.PID()) + "/task/*/children")
	if err != nil || len(tasks) == 0 {
		t.Skip("no /proc to find sshd's sessions in")
	}
	for _, task := range tasks {
		for _, pid := range fields(read(t, task)) {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
	}
}

func TestHolderConflict(t *testing.T) {
	c := newConfig(t)
	g := newGuest(t, c)
	g.start(t)
	g.await(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, seen := newHolder(t, c, g)
	if err := h.Set([]Forward{{Listen: busy.Addr().String(), Target: "127.0.0.1:9", Daemon: true}}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, hold1(t, h, Conflict).Err, problem.ForwardConflict, busy.Addr().String())
	_ = busy.Close()
	h.Retry()
	hold1(t, h, Active)
	eventually(t, "OnChange hears of both", func() bool { return seen.count() == 2 })
}

func TestHolderWithTheWrongKey(t *testing.T) {
	c := newConfig(t)
	g := newGuest(t, c)
	g.start(t)
	g.await(t)
	g.hostKey = otherKey
	h, _ := newHolder(t, c, g)
	if err := h.Set([]Forward{{Listen: "8080", Target: "127.0.0.1:9", Daemon: true}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the holder says why", func() bool { return len(h.States()) == 1 && h.States()[0].Err != nil })
	wantCode(t, h.States()[0].Err, problem.SSHHostKey)
}

func TestHolderRefusesBadForwards(t *testing.T) {
	c := newConfig(t)
	h, _ := newHolder(t, c, newGuest(t, c))
	wantCode(t, h.Set([]Forward{{Listen: "x y", Target: "z"}}), problem.BadParams)
	if s := h.States(); len(s) != 0 {
		t.Errorf("states %+v", s)
	}
}

// The guest opens a connection whose target does not exist: it is closed, and
// nothing else happens.
func TestHolderTargetThatIsNotThere(t *testing.T) {
	c := newConfig(t)
	g := newGuest(t, c)
	g.start(t)
	h, _ := newHolder(t, c, g)
	f := Forward{Listen: freeAddress(t), Target: filepath.Join(shortDir(t), "none")}
	if err := h.Set([]Forward{f}); err != nil {
		t.Fatal(err)
	}
	hold1(t, h, Active)
	if got := echo(t, "tcp", f.Listen); got == "ping" {
		t.Error("a server answered")
	}
	hold1(t, h, Active)
}

// A guest that opens connections without end gets a bounded number; those that
// are held open do not keep the holder from closing.
func TestHolderBoundsConnectionsAndCloses(t *testing.T) {
	c := newConfig(t)
	g := newGuest(t, c)
	g.start(t)
	h, _ := newHolder(t, c, g)
	f := Forward{Listen: freeAddress(t), Target: echoServer(t, "tcp", "127.0.0.1:0"), Daemon: true}
	if err := h.Set([]Forward{f}); err != nil {
		t.Fatal(err)
	}
	hold1(t, h, Active)
	refused := 0
	for range maxConnections + 8 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.Listen)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("x"))
		if n, _ := conn.Read(make([]byte, 1)); n == 0 {
			refused++
		}
	}
	if refused != 8 {
		t.Errorf("%d connections refused, want 8", refused)
	}
	h.Close()
}

func TestHolderCloseWhileConnecting(t *testing.T) {
	c := newConfig(t)
	g := newGuest(t, c)
	signer, err := c.Signer()
	if err != nil {
		t.Fatal(err)
	}
	dialling := make(chan struct{})
	h := NewHolder(HolderOptions{User: g.user, HostKey: g.hostKey, Signer: signer, Dial: func(ctx context.Context) (net.Conn, error) {
		close(dialling)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	if err := h.Set([]Forward{{Listen: "/run/a", Target: "/run/b"}}); err != nil {
		t.Fatal(err)
	}
	<-dialling
	h.Close()
	h.Close()
}
