package renew

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nixvm/nixvm/backends"
)

// GrowProgram is the guest's program that extends its file system, a name of the
// contract. Images of earlier versions of nixvm do not have it.
const GrowProgram = "/etc/nixvm/grow-disk"

// growLimit is what the guest gets. One that is emulated has taken 1.5 s; on a disk of
// terabytes, resize2fs writes for some seconds.
const growLimit = 2 * time.Minute

// FileSystem has the guest of a VM extend the file system on its state disk, which has
// bytes; see backends.FileSystemGrower. The guest may not have noticed yet that its disk
// is another one: it is asked until it has.
func FileSystem(ctx context.Context, name string, talk Talk, bytes int64) error {
	within, cancel := context.WithTimeoutCause(ctx, growLimit, errSlow)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		out, err := apply(within, talk, GrowProgram)
		if err != nil {
			return notFilled(ctx, name, err)
		}
		size, ok := parseSize(out)
		switch {
		case !ok:
			return backends.NotFilled(name, "%s printed %q", GrowProgram, backends.OneLine(out))
		case size >= bytes:
			return nil
		}
		select {
		case <-tick.C:
		case <-within.Done():
			return notFilled(ctx, name, errors.New("it still sees a disk of "+strconv.FormatInt(size>>20, 10)+" MiB"))
		}
	}
}

// notFilled is the error of a guest, unless the caller has given up.
func notFilled(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return backends.NotFilled(name, "%w", err)
}

// parseSize reads the last line that the program prints, "size BYTES".
func parseSize(out string) (int64, bool) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	text, ok := strings.CutPrefix(lines[len(lines)-1], "size ")
	size, err := strconv.ParseInt(text, 10, 64)
	return size, ok && err == nil && size > 0
}
