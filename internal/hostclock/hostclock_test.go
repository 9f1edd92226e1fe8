package hostclock

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A test must not set the clock of its host: the kernel's part is played.
func TestEachJumpIsTold(t *testing.T) {
	var armed, jumps int
	answers := []error{unix.ECANCELED, &os.PathError{Op: "read", Err: unix.ECANCELED}, nil, os.ErrClosed}
	err := follow(
		func() error { armed++; return nil },
		func([]byte) (int, error) { a := answers[0]; answers = answers[1:]; return 8, a },
		func() { jumps++ },
	)
	if jumps != 2 || armed != 4 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("%d jumps, set %d times, %v", jumps, armed, err)
	}
}

// The real timer can be set, tells of no jump when there is none, and ends.
func TestTheWatchEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Watch(ctx, func() { t.Log("the clock of this host was set meanwhile") }) }()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it does not end")
	}
}
