package qemu

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/internal/problem"
)

// errSilent is the cause of a call that QEMU did not answer in its time.
var errSilent = errors.New("it does not answer")

// command runs one command of QEMU's monitor, with the usual limit. A QEMU that was
// stopped, or that waits for a disk of the host, never answers.
func (i *instance) command(ctx context.Context, name string, arguments, out any) error {
	return i.commandWithin(ctx, i.b.limits.monitor, name, arguments, out)
}

func (i *instance) commandWithin(ctx context.Context, limit time.Duration, name string, arguments, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	defer cancel()
	err := i.qmp.Execute(ctx, name, arguments, out)
	switch {
	case !errors.Is(err, errSilent):
		return err
	case strings.HasPrefix(name, "query-"):
		return unanswered(i.v.name, i.proc.pid, err)
	}
	return i.silent(err)
}

// afterLoss says what becomes of a VM whose sockets are gone. Its network still is.
func afterLoss(name string) string {
	return fmt.Sprintf("SSH still works; nixvmd stop %s shuts the VM down through SSH, and its next start creates new sockets", name)
}

// lingering outlives ctx, by the time of a reply: for what should not be cut off in
// between, and does not keep a caller who gives up waiting for a QEMU that hangs.
func (i *instance) lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		patience := time.NewTimer(i.b.limits.reply)
		defer patience.Stop()
		select {
		case <-patience.C:
			cancel(context.Cause(ctx))
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); cancel(context.Canceled) }
}

// untilIn is until with the limit of a command.
func (i *instance) untilIn(ctx context.Context, holds func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, i.b.limits.monitor, errSilent)
	defer cancel()
	err := i.until(ctx, holds)
	if errors.Is(err, errSilent) {
		return i.silent(err)
	}
	return err
}

// silent is the problem of a change that QEMU has been asked for and has not answered:
// the request lies in its socket.
func (i *instance) silent(err error) error {
	p := unanswered(i.v.name, i.proc.pid, err)
	return p.WithHint("%s; %s", refusal.MayStillHappen, p.Hint)
}

// unanswered is the problem of a QEMU that lives and does not talk to us.
func unanswered(name string, pid int, err error) *problem.Error {
	if lostSockets(err) {
		return problem.New(problem.BackendUnreachable, "the control sockets of VM %s are gone: its QEMU (process %d) is still running, but nixvmd cannot reach it: %w", name, pid, err).
			WithHint("%s", afterLoss(name))
	}
	return problem.New(problem.BackendUnreachable, "QEMU of VM %s (process %d) does not answer: %w", name, pid, err).
		WithHint("if it does not recover, power it off: nixvmd kill %s", name).Retry()
}
