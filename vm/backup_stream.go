package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/operation"
)

// streamLimit is how long the reader of a stream may take no byte. It may be waiting
// for a slow disk or network, and holds up nothing but the backup.
const streamLimit = 10 * time.Minute

// stream writes the archive to the named pipe of a client. What the client has got is
// verified by who reads the archive.
func (b *backup) stream(ctx context.Context, r *operation.Run) error {
	f, err := os.OpenFile(b.args.File, os.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENXIO) {
		err = errors.New("no program reads from it")
	}
	if err != nil {
		return b.streamFailed(err)
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) })()
	err = b.writeArchive(ctx, patient{f, ctx}, r)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return b.streamFailed(err)
}

func (b *backup) streamFailed(err error) error {
	if err == nil || problem.From(err).Code != problem.Internal {
		return err
	}
	return problem.New(problem.BackupFailed, "the archive of %s could not be passed on: %w", b.name, err).WithHint("repeat the request")
}

// patient gives each write to a pipe its own limit.
type patient struct {
	*os.File
	ctx context.Context //nolint:containedctx // io.Writer has no other way
}

func (p patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(streamLimit)); err != nil {
		return 0, err
	}
	if p.ctx.Err() != nil { // its end may have come before this deadline
		return 0, context.Cause(p.ctx)
	}
	n, err := p.File.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("the reader has taken nothing for %s", streamLimit)
	}
	return n, err
}
