package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

// takeLimit bounds the copy from the quarantine into the checkout.
const takeLimit = 15 * time.Minute

// Taken is a reference that Take changes.
type Taken struct {
	Ref    string `json:"ref"`
	Former string `json:"former,omitempty"` // its commit before; empty: it did not exist
	Commit string `json:"commit"`
}

// Take copies what was fetched from the quarantine into the checkout, and points a
// reference to it. Nothing else in the checkout changes.
func (c *Checkout) Take(ctx context.Context, q *Quarantine, ref string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, takeLimit, problem.New(problem.PullFailed, "the branch has not been stored within %s", takeLimit))
	defer cancel()
	err := c.git.run(ctx, call{allow: "file"}, "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
		"--no-auto-maintenance", "--no-prune", "--refmap=", "--end-of-options", q.Dir, "+"+pulled+":"+ref)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err
	case says(err, "No space left on device"):
		return problem.New(problem.DiskFull, "the branch cannot be stored in the checkout: %w", err).WithHint("free some space on this host").Retry()
	case says(err, "cannot lock ref"):
		return problem.New(problem.PullFailed, "%s cannot be written in %s: %w", ref, c.Dir, err).
			WithHint("a reference of an earlier pull may be in its way: git for-each-ref refs/nixvm, git update-ref -d REF")
	}
	return problem.New(problem.PullFailed, "the branch cannot be stored in the checkout: %w", err).WithHint("see whether git -C %s fsck finds an error", quote(c.Dir))
}

// Return sets a reference back to what it was before Take, unless it has been changed
// since. The objects stay until git removes what nothing refers to.
func (c *Checkout) Return(ctx context.Context, t Taken) error {
	now, err := c.Value(ctx, t.Ref)
	if err != nil || now != t.Commit || now == t.Former {
		return err
	}
	ctx, cancel := short(ctx)
	defer cancel()
	args := []string{"update-ref", "--no-deref", t.Ref, t.Former, t.Commit}
	if t.Former == "" {
		args = []string{"update-ref", "--no-deref", "-d", t.Ref, t.Commit}
	}
	if err := c.git.run(ctx, call{}, args...); err != nil {
		return fmt.Errorf("return %s to what it was: %w", t.Ref, err)
	}
	return nil
}
