package netstack

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
)

// connected connects a socket of a family to a listener, and returns the listener's end.
func connected(t *testing.T, family int) (client int, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Skipf("no socket of the family %d: %v", family, err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	var to unix.Sockaddr = &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	if family == unix.AF_INET6 {
		to = &unix.SockaddrInet6{Port: port, Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16()}
	}
	if err := unix.Connect(client, to); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

func TestTheUserOfAConnectionIsKnown(t *testing.T) {
	for name, family := range map[string]int{"IPv4": unix.AF_INET, "IPv4 by an IPv6 socket": unix.AF_INET6} {
		t.Run(name, func(t *testing.T) {
			client, server := connected(t, family)
			if uid, ok := peerUser(server); !ok || uid != os.Getuid() || !fromOwner(server) {
				t.Errorf("%d, %t", uid, ok)
			}
			unix.Close(client)
			server.Close()
			if _, ok := peerUser(server); ok {
				t.Error("a connection that has ended has a user")
			}
		})
	}
}

func TestAnotherUserIsNotTheOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	cmd := exec.CommandContext(t.Context(), bash, "-c", `exec 3<>"/dev/tcp/127.0.0.1/$1"; read`, "bash", port)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() //nolint:errcheck // it reads the end of its input
	defer stdin.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if uid, ok := peerUser(server); !ok || uid != 65534 || fromOwner(server) {
		t.Errorf("%d, %t", uid, ok)
	}
}

func TestTheTablesOfTheKernelAreRead(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	const line = "   1: 0100007F:D431 0100007F:0016 01 00000000:00000000 00:00000000 00000000  1000        0 %s 1 0 20 4 30 10 -1\n"
	table := []byte(head + fmt.Sprintf(line, "4711"))
	if uid, ok := userOf(table, "0100007F:D431 0100007F:0016"); !ok || uid != 1000 {
		t.Errorf("%d, %t", uid, ok)
	}
	for name, pair := range map[string]string{
		"the other end": "0100007F:0016 0100007F:D431", "another port": "0100007F:D432 0100007F:0016", "a part": "100007F:D431 0100007F:0016",
	} {
		if uid, ok := userOf(table, pair); ok {
			t.Errorf("%s: %d", name, uid)
		}
	}
	if _, ok := userOf([]byte(head+fmt.Sprintf(line, "0")), "0100007F:D431 0100007F:0016"); ok {
		t.Error("a socket without a process has a user")
	}
}

// Other users of the host cannot take all connections to the guest: some are left to
// its owner.
func TestOtherUsersLeaveConnectionsToTheOwner(t *testing.T) {
	n := testNetwork(Policy{})
	n.in, n.strangers = newSlots(2), newSlots(1)
	var owner atomic.Bool
	n.fromOwner = func(net.Conn) bool { return owner.Load() }
	g := newGuest(t, n)
	sshd, err := gonet.ListenTCP(g.stack, full("10.0.2.15:22"), ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer sshd.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", g.ssh)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	g.until("a stranger is in", func() bool { return g.asked().In.Now == 1 })
	if _, err := bufio.NewReader(dial()).ReadByte(); err == nil || err != io.EOF && !strings.Contains(err.Error(), "reset") {
		t.Errorf("a second one: %v", err)
	}
	owner.Store(true)
	dial()
	g.until("the owner is in", func() bool { return g.asked().In.Now == 2 })
}
