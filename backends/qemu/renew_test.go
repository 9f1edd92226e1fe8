package qemu

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
)

// endNetworkOf kills the network process of a VM.
func endNetworkOf(t *testing.T, s stage) (pid int) {
	t.Helper()
	r, err := filesOf(s.layout, "vm").readRecord()
	must(t, err)
	if r.Run == nil || r.Run.Network == nil {
		t.Fatal("no network process is on record")
	}
	must(t, unix.Kill(r.Run.Network.PID, unix.SIGKILL))
	return r.Run.Network.PID
}

func cut(is bool) func(backends.Event) bool {
	return func(e backends.Event) bool { return e.Status.State == backends.Running && e.Status.Cut == is }
}

// answers waits until the forwarded port takes connections.
func answers(t *testing.T, b *Backend) {
	t.Helper()
	e, err := b.Endpoint(limit(t), backends.Named("vm"))
	must(t, err)
	conn, err := (&net.Dialer{}).DialContext(limit(t), e.Network, e.Address)
	must(t, err)
	conn.Close()
}

func TestANetworkThatEndsIsStartedAgain(t *testing.T) {
	l := usualLimits
	l.alone, l.renew = 50*time.Millisecond, 50*time.Millisecond
	s, b := running(t, l)
	before := status(t, b, "vm")
	first, err := b.Endpoint(limit(t), backends.Named("vm"))
	must(t, err)
	last := 0
	for range 3 {
		pid := endNetworkOf(t, s)
		if pid == last {
			t.Fatal("the new process is not on record")
		}
		last = pid
		if e := await(t, b, cut(true)); e.Status.Reason == "" {
			t.Errorf("%+v", e.Status)
		}
		await(t, b, cut(false))
		answers(t, b)
	}
	if got := status(t, b, "vm"); got != before {
		t.Errorf("before %+v, after %+v", before, got)
	}

	// It cannot be started, and then its port is taken: this is reported, and tried
	// until it works.
	policy := filesOf(s.layout, "vm").path(socketDir + "/" + policyFile)
	must(t, os.Rename(policy, policy+".away"))
	endNetworkOf(t, s)
	await(t, b, func(e backends.Event) bool { return cut(true)(e) && strings.Contains(e.Status.Reason, policyFile) })
	var taken net.Listener
	eventually(t, "the port is free", func() bool { // between two attempts
		taken, err = net.Listen("tcp", first.Address)
		return err == nil
	})
	must(t, os.Rename(policy+".away", policy))
	await(t, b, func(e backends.Event) bool { return cut(true)(e) && strings.Contains(e.Status.Reason, "port") })
	must(t, taken.Close())
	await(t, b, cut(false))
	answers(t, b)

	// The next daemon does the same for one that ended while no daemon was running.
	must(t, b.Close())
	ended := endNetworkOf(t, s)
	eventually(t, "it has ended", func() bool {
		_, err := startTime(ended)
		return err != nil
	})
	b = s.openWithin(t, l)
	eventually(t, "the network is back", func() bool {
		st := status(t, b, "vm")
		return st.State == backends.Running && !st.Cut
	})
	answers(t, b)
	if e, err := b.Endpoint(limit(t), backends.Named("vm")); err != nil || e != first {
		t.Errorf("%+v, %v; it was %+v", e, err, first)
	}
	pid := endNetworkOf(t, s) // and one that is on its way does not outlive its VM
	await(t, b, cut(true))
	must(t, b.Destroy(limit(t), backends.Named("vm")))
	if start, err := startTime(pid); err == nil {
		t.Errorf("network %d (%d) runs on", pid, start)
	}
	if l, err := net.Listen("tcp", first.Address); err != nil {
		t.Errorf("the port is not free: %v", err)
	} else {
		l.Close()
	}
}

// TestANetworkOfAnOlderDaemonIsNotStartedAgain: its wire ends with it.
func TestANetworkOfAnOlderDaemonIsNotStartedAgain(t *testing.T) {
	f := newFake(t, func(r *record, f *fakeQEMU) {
		r.Run.Network = &companion{PID: f.proc.Process.Pid, Start: 1} // another process now
	})
	e := await(t, f.b, cut(true))
	if !strings.Contains(e.Status.Reason, "nixvmd reboot vm") {
		t.Errorf("%+v", e.Status)
	}
}

func TestARenewalThatSucceededKeepsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := renewal{i: &instance{}, cancel: cancel}
	r.take(&process{})
	if ctx.Err() == nil {
		t.Error("the context of the attempt stays with the Backend's")
	}
}
