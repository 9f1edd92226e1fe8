// Package hostclock reports jumps of this host's clock, because it was set or because the
// host was asleep. It does not poll: the kernel notifies it.
package hostclock

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// farAway is when the timer would end: it is only there to be cancelled.
const farAway = 1 << 40 // seconds since 1970

// Watch calls jumped after each jump, until ctx is done. Several jumps at once may be
// one call. A timer on the clock that people read is cancelled by the kernel when
// that clock is set (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET), which includes the
// end of a sleep.
func Watch(ctx context.Context, jumped func()) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("watch the host's clock: %w", err)
	}
	timer := os.NewFile(uintptr(fd), "clock")
	defer timer.Close()
	stop := context.AfterFunc(ctx, func() { timer.Close() })
	defer stop()
	conn, err := timer.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch the host's clock: %w", err)
	}
	arm := func() error {
		var err error
		cerr := conn.Control(func(fd uintptr) {
			err = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET,
				&unix.ItimerSpec{Value: unix.Timespec{Sec: farAway}}, nil)
		})
		if errors.Is(err, unix.ECANCELED) { // it jumped in between: the timer is set all the same
			err = nil
			jumped()
		}
		return errors.Join(cerr, err)
	}
	err = follow(arm, timer.Read, jumped)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("watch the host's clock: %w", err)
}

// follow returns when something else happens than a jump.
func follow(arm func() error, read func([]byte) (int, error), jumped func()) error {
	var ticks [8]byte
	for {
		if err := arm(); err != nil {
			return err
		}
		if _, err := read(ticks[:]); errors.Is(err, unix.ECANCELED) {
			jumped()
		} else if err != nil {
			return err
		}
	}
}
