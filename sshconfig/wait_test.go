package sshconfig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

// counted counts the connections that a DialFunc makes.
func counted(dial DialFunc) (DialFunc, *atomic.Int64) {
	var n atomic.Int64
	return func(ctx context.Context) (net.Conn, error) {
		n.Add(1)
		return dial(ctx)
	}, &n
}

func waitFor(t *testing.T, limit time.Duration, o WaitOptions) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return WaitReady(ctx, o)
}

func TestWaitReadyForAGuestThatIsUp(t *testing.T) {
	g := newGuest(t, newConfig(t))
	g.start(t)
	g.await(t)
	dial, n := counted(g.dial)
	if err := waitFor(t, 2*time.Minute, WaitOptions{Dial: dial, HostKey: g.hostKey}); err != nil {
		t.Fatal(err)
	}
	if n.Load() > maxAttempts { // on a loaded machine some start before the first banner comes
		t.Errorf("%d connections to a guest that answers at once", n.Load())
	}
}

func TestWaitReadyForAGuestThatComesUpLater(t *testing.T) {
	g := newGuest(t, newConfig(t))
	done := make(chan error, 1)
	refused := make(chan struct{}, 1)
	go func() {
		done <- waitFor(t, 2*time.Minute, WaitOptions{HostKey: g.hostKey, Dial: func(ctx context.Context) (net.Conn, error) {
			conn, err := g.dial(ctx)
			if err != nil {
				select {
				case refused <- struct{}{}:
				default:
				}
			}
			return conn, err
		}})
	}()
	<-refused
	g.start(t)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestWaitReadyWrongKey(t *testing.T) {
	g := newGuest(t, newConfig(t))
	g.start(t)
	err := waitFor(t, 2*time.Minute, WaitOptions{Dial: g.dial, HostKey: otherKey})
	wantCode(t, err, problem.SSHHostKey, "SHA256:")
}

func TestWaitReadyNoKeyOfThatKind(t *testing.T) {
	c := newConfig(t)
	g := newGuest(t, c, "HostKeyAlgorithms rsa-sha2-512")
	key := g.dir + "/rsa_key"
	if out, err := runCommand("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", key); err != nil {
		t.Fatal(err, out)
	}
	conf, err := os.ReadFile(g.conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.conf, append(conf, []byte("HostKey "+key+"\n")...), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start(t)
	err = waitFor(t, 2*time.Minute, WaitOptions{Dial: g.dial, HostKey: g.hostKey})
	wantCode(t, err, problem.SSHHostKey, "ssh-ed25519")
}

// silent is a listener in the role of QEMU's user-mode network: it accepts, and
// what then happens to the connection is up to serve.
func silent(t *testing.T, serve func(n int, conn net.Conn)) DialFunc {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			serve(n, conn)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}
}

func TestWaitReadySaysWhatItSawLast(t *testing.T) {
	for name, tc := range map[string]struct {
		serve func(n int, conn net.Conn)
		want  string
	}{
		"holds":     {func(int, net.Conn) {}, "sends nothing"},
		"closes":    {func(_ int, c net.Conn) { _ = c.Close() }, "closes them"},
		"other":     {func(_ int, c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad\r\n")) }, `"HTTP/1.1"`},
		"escape":    {func(_ int, c net.Conn) { _, _ = c.Write([]byte("\x1b[2Jhello hello")) }, `\x1b[2J`},
		"half":      {func(_ int, c net.Conn) { _, _ = c.Write([]byte("SSH-")) }, "sends nothing"},
		"endless":   {func(_ int, c net.Conn) { go func() { _, _ = io.Copy(c, zeros{}) }() }, `\x00`},
		"no kex":    {func(_ int, c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-x\r\n")) }, ""},
		"then gone": {func(_ int, c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-x\r\n")); _ = c.Close() }, "handshake failed"},
	} {
		t.Run(name, func(t *testing.T) {
			err := waitFor(t, 400*time.Millisecond, WaitOptions{Dial: silent(t, tc.serve), HostKey: demoKey})
			wantCode(t, err, problem.VMNotReady, tc.want, "console")
			if !problem.From(err).Retryable {
				t.Error("not retryable")
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// The first connections go into the void for ever; a later one reaches sshd.
func TestWaitReadyGivesUpHeldConnections(t *testing.T) {
	g := newGuest(t, newConfig(t))
	g.start(t)
	g.await(t)
	void := silent(t, func(int, net.Conn) {})
	var n atomic.Int64
	err := waitFor(t, 2*time.Minute, WaitOptions{HostKey: g.hostKey, Dial: func(ctx context.Context) (net.Conn, error) {
		if n.Add(1) <= 2*maxAttempts {
			return void(ctx)
		}
		return g.dial(ctx)
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// With every place taken by fresh attempts, only a kick gets through at once.
func TestWaitReadyKick(t *testing.T) {
	g := newGuest(t, newConfig(t))
	g.start(t)
	g.await(t)
	void := silent(t, func(int, net.Conn) {})
	kick := make(chan struct{})
	var n atomic.Int64
	full := make(chan struct{})
	go func() {
		<-full
		kick <- struct{}{}
		close(kick)
	}()
	start := time.Now()
	err := waitFor(t, 2*time.Minute, WaitOptions{HostKey: g.hostKey, Kick: kick, Dial: func(ctx context.Context) (net.Conn, error) {
		switch i := n.Add(1); {
		case i < maxAttempts:
			return void(ctx)
		case i == maxAttempts:
			close(full)
			return void(ctx)
		}
		return g.dial(ctx)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %s", time.Since(start))
}

func TestWaitReadyEndsAtOnce(t *testing.T) {
	t.Run("when cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		dial := silent(t, func(int, net.Conn) { cancel() })
		if err := WaitReady(ctx, WaitOptions{Dial: dial, HostKey: demoKey}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("when dialling has a lasting problem", func(t *testing.T) {
		err := waitFor(t, 2*time.Minute, WaitOptions{HostKey: demoKey, Dial: func(context.Context) (net.Conn, error) {
			return nil, fmt.Errorf("endpoint: %w", problem.New(problem.VMNotRunning, "demo is not running"))
		}})
		wantCode(t, err, problem.VMNotRunning)
	})
	t.Run("but not when the problem may pass", func(t *testing.T) {
		err := waitFor(t, 200*time.Millisecond, WaitOptions{HostKey: demoKey, Dial: func(context.Context) (net.Conn, error) {
			return nil, problem.New(problem.BackendUnreachable, "no route").Retry()
		}})
		wantCode(t, err, problem.VMNotReady, "no route")
	})
	t.Run("when the pinned key is none", func(t *testing.T) {
		wantCode(t, WaitReady(t.Context(), WaitOptions{HostKey: "x"}), problem.MachineInvalid)
	})
}

func TestDial(t *testing.T) {
	c := newConfig(t)
	g := newGuest(t, c)
	g.start(t)
	g.await(t)
	signer, err := c.Signer()
	if err != nil {
		t.Fatal(err)
	}
	client, err := Dial(t.Context(), g.dial, g.user, g.hostKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := session.Output("echo hello"); err != nil || string(out) != "hello\n" {
		t.Errorf("%q %v", out, err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	_, err = Dial(t.Context(), g.dial, g.user, otherKey, signer)
	wantCode(t, err, problem.SSHHostKey)
	stranger, _, _ := newKey(t)
	_, err = Dial(t.Context(), g.dial, g.user, g.hostKey, stranger)
	wantCode(t, err, problem.SSHUnreachable, "unable to authenticate")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, silent(t, func(int, net.Conn) {}), g.user, g.hostKey, signer); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent guest: %v", err)
	}
}
