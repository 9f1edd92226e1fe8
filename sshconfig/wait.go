package sshconfig

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/problem"
)

// WaitOptions for WaitReady. Dial and HostKey are required.
type WaitOptions struct {
	Dial    DialFunc
	HostKey string          // pinned key, one line of authorized_keys format
	Kick    <-chan struct{} // each value says that now is a good time to try; may be nil
}

// maxAttempts bounds the connections that wait for a banner at once: one that
// may be lost in a network that accepts it before the guest is there, and a
// newer one. Each costs the guest a process, a second of CPU under emulation.
const maxAttempts = 2

// WaitReady returns nil when the guest's sshd has proved that it has the pinned
// host key. It does not log in and sends no credentials.
//
// The wait costs a booting guest next to nothing: an attempt is a connection
// that reads the server's first bytes, and only the first one that is an SSH
// banner goes on to a key exchange (a second of CPU under emulation). New
// attempts start at intervals of 3 % of the time waited so far, at least 50 ms
// and at most 1 s, and at once after a Kick. An attempt that hears nothing is
// given up for a newer one, because QEMU's user-mode network accepts
// connections before the guest is there and may never deliver them.
//
// Problems: ssh.host_key_mismatch at once; vm.not_ready when the context's
// deadline passes, with what was seen last. Any problem that Dial returns and
// that is not Retryable ends the wait.
func WaitReady(ctx context.Context, o WaitOptions) error {
	pinned, err := parseHostKey(o.HostKey)
	if err != nil {
		return problem.New(problem.MachineInvalid, "the pinned host key does not parse: %w", err)
	}
	w := &waiter{WaitOptions: o, pinned: pinned, start: time.Now(), heard: make(chan hearing)}
	defer w.abandon()
	err = w.run(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && !errors.As(err, new(*problem.Error)) {
		return problem.New(problem.VMNotReady, "the guest's sshd did not answer within %s: %w", time.Since(w.start).Round(time.Second), w.lastSeen()).
			WithHint("check the VM's console; a slow machine may need a longer timeout").Retry()
	}
	return err
}

// waiter is one WaitReady.
type waiter struct {
	WaitOptions
	pinned ssh.PublicKey
	start  time.Time
	heard  chan hearing
	open   []*attempt // oldest first
	last   error
	wg     sync.WaitGroup
}

// attempt is one connection that waits for a banner.
type attempt struct {
	started time.Time
	cancel  context.CancelFunc
}

// hearing is how an attempt ended: a connection whose banner can be read, or why not.
type hearing struct {
	from *attempt
	conn net.Conn
	err  error
}

func (w *waiter) run(ctx context.Context) error {
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for sshd: %w", ctx.Err())
		case _, ok := <-w.Kick:
			if !ok {
				w.Kick = nil
				continue
			}
			w.attempt(ctx, true)
		case <-tick.C:
			w.attempt(ctx, false)
			tick.Reset(w.interval())
		case h := <-w.heard:
			done, err := w.hear(ctx, h)
			if done {
				return err
			}
		}
	}
}

// interval is proportional to the time waited, so that the delay it adds is.
func (w *waiter) interval() time.Duration {
	return min(max(time.Since(w.start)*3/100, 50*time.Millisecond), time.Second)
}

// patience is how long an attempt is safe from being replaced. It grows with the
// time waited: an sshd that needs half a minute to fork, because the host is
// overloaded, would never get to its banner if every attempt were given up for
// one that it has to fork for anew.
func (w *waiter) patience() time.Duration {
	return min(max(time.Since(w.start)/4, 2*time.Second), time.Minute)
}

// attempt starts a new one, unless there are enough and none is stale. A kicked
// attempt always starts.
func (w *waiter) attempt(ctx context.Context, kicked bool) {
	if len(w.open) >= maxAttempts {
		if !kicked && time.Since(w.open[0].started) < w.patience() {
			return
		}
		w.open[0].cancel()
		w.open = w.open[1:]
		w.last = errSilent
	}
	ctx, cancel := context.WithCancel(ctx)
	a := &attempt{started: time.Now(), cancel: cancel}
	w.open = append(w.open, a)
	w.wg.Go(func() {
		conn, err := listenFor(ctx, w.Dial)
		select {
		case w.heard <- hearing{a, conn, err}:
		case <-ctx.Done():
			if conn != nil {
				_ = conn.Close()
			}
		}
	})
}

// hear takes the end of an attempt; done ends the wait.
func (w *waiter) hear(ctx context.Context, h hearing) (done bool, err error) {
	if i := slices.Index(w.open, h.from); i >= 0 {
		w.open = slices.Delete(w.open, i, i+1)
	}
	defer h.from.cancel()
	if h.err == nil {
		w.cancelAll() // the guest need not serve the others
		h.err = w.prove(ctx, h.conn)
	}
	if h.err == nil || permanent(h.err) {
		return true, h.err
	}
	// What the end of the wait itself did to an attempt says nothing of the guest.
	if !errors.Is(h.err, context.Canceled) && (ctx.Err() == nil || w.last == nil) {
		w.last = h.err
	}
	return false, nil
}

// permanent problems do not go away by waiting.
func permanent(err error) bool {
	var p *problem.Error
	return errors.As(err, &p) && !p.Retryable
}

// proveTimeout bounds one key exchange: an emulated guest that is booting may
// take tens of seconds, a dead connection takes for ever.
const proveTimeout = time.Minute

// errProved ends the handshake once the guest has signed with the pinned key.
var errProved = errors.New("host key verified")

// prove does a key exchange. x/crypto checks the server's signature before it
// asks about the key.
func (w *waiter) prove(ctx context.Context, conn net.Conn) error {
	ctx, cancel := context.WithTimeoutCause(ctx, proveTimeout, errors.New("the key exchange did not finish"))
	defer cancel()
	config := clientConfig("nixvm", func(key ssh.PublicKey) error {
		if err := checkKey(w.pinned, key); err != nil {
			return err
		}
		return errProved
	})
	c, _, _, err := handshake(ctx, conn, config)
	if err == nil { // cannot be: the callback always refuses
		return c.Close()
	}
	if errors.Is(err, errProved) {
		return nil
	}
	return err
}

func (w *waiter) cancelAll() {
	for _, a := range w.open {
		a.cancel()
	}
	w.open = nil
}

// abandon ends all attempts and waits for their goroutines.
func (w *waiter) abandon() {
	w.cancelAll()
	w.wg.Wait()
}

var errSilent = errors.New("it accepts connections but sends nothing")

func (w *waiter) lastSeen() error {
	if w.last == nil {
		return errSilent
	}
	return w.last
}

// banner is how an SSH server starts (RFC 4253, 4.2). Lines before it are
// allowed there, but OpenSSH sends none.
const banner = "SSH-2.0-"

// listenFor connects and waits for the server's first bytes.
func listenFor(ctx context.Context, dial DialFunc) (net.Conn, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	r := bufio.NewReaderSize(conn, 256)
	head, err := r.Peek(len(banner))
	switch {
	case !stop():
		err = ctx.Err()
	case errors.Is(err, io.EOF):
		err = errors.New("it accepts connections and closes them")
	case err != nil:
		err = fmt.Errorf("it accepts connections and then: %w", err)
	case string(head) != banner:
		err = fmt.Errorf("the server that answers is not an SSH server: it sends %q", head)
	default:
		return &peeked{conn, r}, nil
	}
	_ = conn.Close()
	return nil, err
}

// peeked is a connection whose first bytes were looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }
