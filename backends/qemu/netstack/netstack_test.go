package netstack

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/nettest"
)

// An address of AS112 (RFC 7534) stands for the internet; here it is the host's own.
const internet = "192.175.48.7:7777"

// TestForwarding needs addresses that are not the loopback's, which a guest
// never reaches, and a network in which they lead nowhere.
func TestForwarding(t *testing.T) {
	if !nettest.Inside(t) {
		return
	}
	nettest.IP(t, "link", "set", "lo", "up")
	nettest.IP(t, "route", "add", "local", "192.52.193.0/24", "dev", "lo") // no interface carries it
	echo(t, "192.52.193.7:7777")
	for _, a := range []string{"192.175.48.7", "192.168.1.10", "10.0.2.2", "10.0.2.4"} {
		nettest.IP(t, "addr", "add", a+"/32", "dev", "lo")
		echo(t, a+":7777")
	}
	echo(t, "127.0.0.1:53")
	t.Run("TCP carries both ways, and the end of each", carriesTCP)
	t.Run("UDP carries both ways", carriesUDP)
	t.Run("the gateway is not the host", keepsGateway)
	t.Run("an isolated guest is refused at once", refuses)
	t.Run("a port without a listener is refused", refusedByThere)
	t.Run("another policy holds at once, also for what is open", changesPolicy)
	t.Run("connections are counted out", countsTCP)
	t.Run("connections to the guest are counted out on their own", countsIn)
	t.Run("a connection to the port reaches the guest's sshd", entersGuest)
	t.Run("a guest that resets its end leaves nothing", survivesReset)
	t.Run("a guest that is gone in the middle of a handshake holds nothing up", endsInHandshake)
}

func carriesTCP(t *testing.T) {
	g := newGuest(t, testNetwork(Policy{}))
	conn, err := g.dialTCP(internet)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := make([]byte, 3<<20) // more than all buffers hold
	_, _ = rand.Read(sent)
	go func() {
		conn.Write(sent) //nolint:errcheck // what arrives is compared
		conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("of %d bytes came back %d: %v", len(sent), len(got), err)
	}
}

func carriesUDP(t *testing.T) {
	g := newGuest(t, testNetwork(Policy{}))
	for to, text := range map[string]string{internet: "hello", "10.0.2.3:53": "a question to the host's resolver"} {
		if got, err := g.ask(to, text); err != nil || got != text {
			t.Errorf("%s answers %q, %v", to, got, err)
		}
	}
}

func keepsGateway(t *testing.T) {
	g := newGuest(t, testNetwork(Policy{}))
	for _, to := range []string{"10.0.2.2:7777", "10.0.2.3:7777", "10.0.2.4:7777"} {
		if conn, err := g.dialTCP(to); err == nil {
			t.Errorf("%s answers", to)
			conn.Close()
		}
	}
}

func refuses(t *testing.T) {
	g := newGuest(t, testNetwork(Policy{&backends.Isolation{}}))
	refused := []string{"192.168.1.10:7777", internet /* it is the host's own */, "192.52.193.7:7777" /* too */}
	for _, to := range refused {
		conn, err := g.dialTCP(to)
		if err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("TCP to %s: %v", to, err)
		}
		if err == nil {
			conn.Close()
		}
		there := full(to)
		datagrams, err := gonet.DialUDP(g.stack, nil, &there, ipv4.ProtocolNumber)
		if err != nil {
			t.Fatal(err)
		}
		defer datagrams.Close()
		datagrams.Write([]byte("x")) //nolint:errcheck // what comes back is counted below
	}
	g.until("port unreachable, each time", func() bool {
		return g.stack.Stats().ICMP.V4.PacketsReceived.DstUnreachable.Value() == uint64(len(refused))
	})
	if u := g.asked(); u.Refused < uint64(2*len(refused)) || u.Last == nil || u.Last.Protocol != "udp" {
		t.Errorf("%+v", u)
	}
}

func changesPolicy(t *testing.T) {
	const lan = "192.168.1.10:7777"
	g := newGuest(t, testNetwork(Policy{&backends.Isolation{AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("192.175.48.0/24")}}}))
	change := func(p Policy) {
		t.Helper()
		conn, err := net.Dial("tcp", g.usage)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := ChangePolicy(conn, p); err != nil {
			t.Fatal(err)
		}
	}
	echoes := func(conn net.Conn) error {
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, 1))
		return err
	}
	var open []*gonet.TCPConn
	for _, to := range []string{lan, internet} {
		conn, err := g.dialTCP(to)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := echoes(conn); err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		open = append(open, conn)
	}
	there := full(lan)
	datagrams, err := gonet.DialUDP(g.stack, nil, &there, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	if err := echoes(datagrams); err != nil {
		t.Fatal(err)
	}
	change(Policy{&backends.Isolation{AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("192.175.48.0/24")}}})
	if _, err := open[0].Read(make([]byte, 1)); err == nil {
		t.Error("a connection that is not allowed any more goes on")
	}
	if err := echoes(open[1]); err != nil {
		t.Errorf("one that is still allowed: %v", err)
	}
	g.until("the flow of datagrams has ended", func() bool { return g.asked().UDP.Now == 0 })
	if conn, err := g.dialTCP(lan); err == nil {
		conn.Close()
		t.Error("a new connection is made all the same")
	}
	change(Policy{})
	conn, err := g.dialTCP(lan)
	if err != nil {
		t.Fatalf("opened again: %v", err)
	}
	conn.Close()
}

func TestAPolicyThatIsNotUnderstoodChangesNothing(t *testing.T) {
	n := testNetwork(Policy{&backends.Isolation{}})
	for _, text := range []string{`{"isolation": null, "newer": 1}`, `{"isolation": {`, "nonsense", "[]"} {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			n.takePolicy(theirs)
			theirs.Close()
		}()
		ours.SetDeadline(time.Now().Add(testLimit)) //nolint:errcheck // it is a pipe
		if _, err := ours.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		var a changed
		if text == `{"isolation": {` {
			ours.Close()
		} else if err := json.NewDecoder(ours).Decode(&a); err != nil || a.Problem == "" {
			t.Errorf("%s: %+v, %v", text, a, err)
		}
		ours.Close()
		<-done
	}
	if p := n.policy.Load(); p.Isolation == nil {
		t.Error("the policy is another one")
	}
}

// A process of an earlier version tells its usage, and hangs up.
func TestAProcessOfAnEarlierVersionKeepsItsPolicy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(theirs, "{}\n") //nolint:errcheck // it is read
	theirs.Close()
	if err := ChangePolicy(ours, Policy{}); !errors.Is(err, ErrOlder) {
		t.Errorf("%v", err)
	}
}

func refusedByThere(t *testing.T) {
	g := newGuest(t, testNetwork(Policy{}))
	if _, err := g.dialTCP("192.175.48.7:7778"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}

func countsTCP(t *testing.T) {
	n := testNetwork(Policy{})
	n.out = newSlots(2)
	g := newGuest(t, n)
	var open []*gonet.TCPConn
	for range 2 {
		conn, err := g.dialTCP(internet)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	if conn, err := g.dialTCP(internet); err == nil {
		conn.Close()
		t.Error("a third of two")
	}
	// Its owner comes in all the same.
	g.enter()
	g.until("the connection to the guest has ended", func() bool { return g.asked().In.Now == 0 })
	if u := g.asked(); u.Out != (backends.Use{Now: 2, Limit: 2}) || u.In.Limit != maxIn || u.UDP.Limit != maxUDP {
		t.Errorf("%+v", u)
	}
	for _, conn := range open {
		conn.Close()
	}
	g.until("a connection is given back when both sides have ended", func() bool {
		conn, err := g.dialTCP(internet)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func entersGuest(t *testing.T) {
	newGuest(t, testNetwork(Policy{&backends.Isolation{}})).enter()
}

// countsIn: a client that holds all connections to the guest cannot have more, and does
// not take those of the guest.
func countsIn(t *testing.T) {
	n := testNetwork(Policy{})
	n.in = newSlots(1)
	g := newGuest(t, n)
	sshd, err := gonet.ListenTCP(g.stack, full("10.0.2.15:22"), ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer sshd.Close()
	first, err := net.Dial("tcp", g.ssh)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	g.until("the first is in", func() bool { return g.asked().In.Now == 1 })
	second, err := net.Dial("tcp", g.ssh)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := io.ReadAll(second); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("a second of one: %v", err)
	}
	conn, err := g.dialTCP(internet)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// enter connects to the guest's sshd from outside.
func (g *guest) enter() {
	g.Helper()
	sshd, err := gonet.ListenTCP(g.stack, full("10.0.2.15:22"), ipv4.ProtocolNumber)
	if err != nil {
		g.Fatal(err)
	}
	defer sshd.Close()
	conn, err := net.Dial("tcp", g.ssh)
	if err != nil {
		g.Fatal(err)
	}
	defer conn.Close()
	there, err := sshd.Accept()
	if err != nil {
		g.Fatal(err)
	}
	defer there.Close()
	if host, _, _ := net.SplitHostPort(there.RemoteAddr().String()); host != "10.0.2.2" {
		g.Errorf("the guest is entered from %s", host)
	}
	if _, err := there.Write([]byte("SSH-2.0-x\n")); err != nil {
		g.Fatal(err)
	}
	there.Close()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "SSH-2.0-x\n" {
		g.Errorf("%q, %v", got, err)
	}
}

// asked is what the network says of its usage.
func (g *guest) asked() (u backends.NetworkUsage) {
	g.Helper()
	conn, err := net.Dial("tcp", g.usage)
	if err != nil {
		g.Fatal(err)
	}
	defer conn.Close()
	if err := json.NewDecoder(conn).Decode(&u); err != nil {
		g.Fatal(err)
	}
	return u
}

func survivesReset(t *testing.T) {
	n := testNetwork(Policy{})
	g := newGuest(t, n)
	conn, err := g.dialTCP(internet)
	if err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte("x")) //nolint:errcheck // the answer is what counts
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	g.stack.Close() // and with it the connection, by a reset
	g.until("the connection is given back", func() bool { return len(n.out) == 0 })
}

func endsInHandshake(t *testing.T) {
	n := testNetwork(Policy{})
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- n.run(t.Context(), Ends{Wire: ours, SSH: noListener(), Usage: noListener()}) }()
	go io.Copy(io.Discard, theirs) //nolint:errcheck // its answers are not read
	if _, err := theirs.Write(synFrame("192.175.48.7", 7777)); err != nil {
		t.Fatal(err)
	}
	(&guest{TB: t}).until("the connection is being made", func() bool { return len(n.out) == 1 })
	theirs.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(testLimit / 2): // the handshake itself is given up after a minute
		t.Error("the network does not end")
	}
}

func TestTheFlowThatWasIdleLongestMakesRoom(t *testing.T) {
	var all udpFlows
	ends := map[int]net.Conn{}
	for i := range maxUDP + 1 {
		a, b := net.Pipe()
		f := &udpFlow{guest: a, host: b}
		f.used.Store(int64((i + 7) % maxUDP)) // the oldest is one in the middle
		ends[i] = a
		all.add(f)
	}
	if len(all.all) != maxUDP {
		t.Errorf("%d flows", len(all.all))
	}
	for i, end := range ends {
		err := end.SetDeadline(time.Time{})
		if closed := err != nil; closed != (i == maxUDP-7) {
			t.Errorf("flow %d: %v", i, err)
		}
		end.Close()
	}
}
