package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const (
	// endLimit is how long a program that is told to end waits for what its
	// operation undoes; the user who requested that cannot be asked again.
	endLimit = 30 * time.Second
	// echo is how soon after a C-c another SIGINT is not a person's: a program that
	// runs this one, such as timeout(1), passes on what the terminal has sent to
	// both.
	echo = 250 * time.Millisecond
)

// endings are the signals that end a program, while it follows an operation.
type endings struct {
	first <-chan struct{} // closed by the first
	leave <-chan struct{} // closed when what is undone is not to be waited for any longer

	person bool // a second C-c leaves: there is a terminal
	stop   func()
}

// watchSignals catches SIGINT and SIGTERM until stop.
func watchSignals(terminal bool) *endings {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	e := newEndings(terminal, signals, time.Now, time.After)
	halt := e.stop
	e.stop = func() {
		signal.Stop(signals)
		halt()
	}
	return e
}

// newEndings is watchSignals with the signals and the clock given.
func newEndings(terminal bool, signals <-chan os.Signal, now func() time.Time, after func(time.Duration) <-chan time.Time) *endings {
	first, leave, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { watchEnds(terminal, signals, now, after, first, leave, done) })
	return &endings{first: first, leave: leave, person: terminal, stop: sync.OnceFunc(func() {
		close(done)
		watching.Wait()
	})}
}

// watchEnds closes first at the first signal. It closes leave at a second C-c of a
// person, and endLimit after a signal that is none: timeout(1) and service managers
// send theirs twice, to the process and to its group.
func watchEnds(terminal bool, signals <-chan os.Signal, now func() time.Time, after func(time.Duration) <-chan time.Time, first, leave chan<- struct{}, done <-chan struct{}) {
	var asked time.Time
	var limit <-chan time.Time
	for {
		select {
		case sig := <-signals:
			at, byPerson := now(), terminal && sig == os.Interrupt
			switch {
			case asked.IsZero():
				asked = at
				close(first)
			case byPerson && at.Sub(asked) > echo:
				close(leave)
				return
			}
			if !byPerson && limit == nil {
				limit = after(endLimit)
			}
		case <-limit:
			close(leave)
			return
		case <-done:
			return
		}
	}
}

// asked reports whether a signal has come.
func (e *endings) asked() bool {
	select {
	case <-e.first:
		return true
	default:
		return false
	}
}

// during is a context for something that is not to be waited for after a signal:
// the first one, or, when that has come, the one that leaves.
func (e *endings) during(ctx context.Context) (context.Context, context.CancelFunc) {
	end := e.first
	if e.asked() {
		end = e.leave
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-end:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel()
		watching.Wait()
	}
}

// cancelling is what the user reads after the first signal.
func (e *endings) cancelling() string {
	if e.person {
		return "cancelling and undoing completed steps (press C-c again to leave that to the daemon)"
	}
	return "cancelling and undoing completed steps"
}
