// Package sleep waits for a time that a context can end.
package sleep

import (
	"context"
	"time"
)

// For waits; it reports false if ctx has ended before.
func For(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
