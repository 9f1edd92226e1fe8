package libvirt

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// carried is a client's connection through a tunnel, and the guest's end of it.
func carried(t *testing.T, linger time.Duration) (tunnel *tunnel, client, guest *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tunnel, err = openTunnel(l.Addr().String(), func(ctx context.Context, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}, linger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tunnel.close)
	client = connected(t, func() (net.Conn, error) { return net.Dial("tcp", tunnel.listener.Addr().String()) }) //nolint:noctx // loopback
	guest = connected(t, l.Accept)
	return tunnel, client, guest
}

func connected(t *testing.T, open func() (net.Conn, error)) *net.TCPConn {
	t.Helper()
	c, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c.(*net.TCPConn) //nolint:forcetypeassert // of TCP
}

// carriedToItsEnd waits until nothing of the tunnel runs but its listener's loop, which is
// closed here.
func carriedToItsEnd(t *testing.T, tunnel *tunnel) {
	t.Helper()
	tunnel.listener.Close()
	done := make(chan struct{})
	go func() { tunnel.group.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("a connection whose client has gone is held for good")
	}
}

func TestAGuestThatNeverHangsUpHoldsNothingOfAClientThatHas(t *testing.T) {
	tunnel, client, guest := carried(t, time.Millisecond)
	client.Close()
	if n, err := guest.Read(make([]byte, 1)); n != 0 || err != io.EOF { //nolint:errorlint // io.EOF is never wrapped
		t.Errorf("the guest reads %d, %v", n, err)
	}
	carriedToItsEnd(t, tunnel)
}

func TestAClientThatIsResetIsTheEndForTheGuest(t *testing.T) {
	tunnel, client, guest := carried(t, time.Hour)
	_ = client.SetLinger(0) // close with a reset
	client.Close()
	if _, err := io.Copy(io.Discard, guest); err != nil {
		t.Logf("the guest reads %v", err)
	}
	carriedToItsEnd(t, tunnel)
}

func TestAnAnswerAfterTheEndOfTheQuestionArrives(t *testing.T) {
	_, client, guest := carried(t, time.Hour)
	if _, err := client.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(guest); err != nil || string(got) != "question" {
		t.Fatalf("the guest hears %q, %v", got, err)
	}
	if _, err := guest.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	guest.Close()
	if got, err := io.ReadAll(client); err != nil || string(got) != "answer" {
		t.Errorf("the client hears %q, %v", got, err)
	}
}
