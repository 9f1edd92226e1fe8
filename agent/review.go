package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/plaintext"
	"github.com/nixvm/nixvm/internal/problem"
)

// Bounds of a review.
const (
	maxCommits = 200
	maxFiles   = 1000
	maxPaths   = 20  // for each rule
	maxShown   = 512 // of a path, in bytes
	maxText    = 200 // of a subject, a name, or what was found, in bytes

	// listLimit bounds the examination of all files, and each of the others.
	listLimit = time.Minute
)

// Review compares a reference with HEAD of the checkout. It reads objects only: no work
// tree, no driver of the user's configuration. What takes longer than a minute is left out,
// and Incomplete says so.
//
// Problems: repository.not_found, params.invalid.
func (c *Checkout) Review(ctx context.Context, ref string) (api.ReviewResult, error) {
	r := api.ReviewResult{Directory: c.Dir, Ref: ref, Commits: []api.ReviewCommit{}, Files: []api.ReviewFile{}, Flags: []api.ReviewFlag{}}
	if err := CheckRef(ref); err != nil {
		return r, err
	}
	var err error
	if r.Commit, err = c.Value(ctx, ref); err != nil {
		return r, err
	}
	if r.Commit == "" {
		return r, problem.New(problem.RepositoryNotFound, "%s does not exist in %s", ref, c.Dir).WithHint("nixvmd agent pull NAME fetches it")
	}
	head, err := c.Value(ctx, "HEAD")
	if err != nil {
		return r, err
	}
	if head != "" {
		if r.Base, err = c.mergeBase(ctx, head, r.Commit); err != nil {
			return r, err
		}
	}
	from := r.Base
	if from == "" {
		if from, err = c.git.line(ctx, "hash-object", "-t", "tree", "--stdin"); err != nil { // of nothing: the empty tree
			return r, err
		}
	}
	for _, part := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"the files were not all examined", func(ctx context.Context) error { return c.examine(ctx, from, &r) }},
		{"the commits were not all listed", func(ctx context.Context) error { return c.commits(ctx, &r) }},
		{"the changed lines were not all counted", func(ctx context.Context) error { return c.count(ctx, from, &r) }},
	} {
		limited, cancel := context.WithTimeout(ctx, listLimit)
		err := part.do(limited)
		late := limited.Err() != nil
		cancel()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return r, context.Cause(ctx)
		case !late:
			return r, err
		case r.Incomplete == "":
			r.Incomplete = fmt.Sprintf("%s within %s", part.what, listLimit)
		}
	}
	return r, nil
}

// mergeBase returns the best common ancestor; empty if there is none.
func (c *Checkout) mergeBase(ctx context.Context, a, b string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, listLimit, problem.New(problem.PullFailed, "the common history was not found within %s", listLimit))
	defer cancel()
	base, err := c.git.line(ctx, "merge-base", a, b)
	if exited(err, 1) {
		return "", nil
	}
	return base, err
}

// stream runs git and lets read have its output while it runs.
func (c *Checkout) stream(ctx context.Context, read func(io.Reader) error, args ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := c.git.run(ctx, call{stdout: in}, args...)
		in.CloseWithError(err) // nil is the end of the output
		ended <- err
	}()
	err := read(out)
	out.CloseWithError(errEnough)
	if err != nil {
		cancel()
	}
	failed := <-ended
	switch {
	case errors.Is(err, errEnough):
		return nil
	case err != nil:
		return err
	}
	return failed
}

func diffTree(format, from, to string) []string {
	return []string{"diff-tree", "-r", "-z", format, "--no-renames", "--no-abbrev", "--no-ext-diff", "--no-textconv", "--end-of-options", from, to}
}

// examine lists the files and flags them.
func (c *Checkout) examine(ctx context.Context, from string, r *api.ReviewResult) error {
	x := newExamination(c)
	defer x.close()
	err := c.stream(ctx, func(in io.Reader) error {
		return readRaw(in, func(e entry) error {
			if r.FileCount++; r.FileCount <= maxFiles {
				r.Files = append(r.Files, api.ReviewFile{Path: shown(e.path), Status: e.status})
			}
			return x.examine(ctx, e)
		})
	}, diffTree("--raw", from, r.Commit)...)
	r.Flags = x.flags()
	return err
}

// commits lists the newest, and counts all.
func (c *Checkout) commits(ctx context.Context, r *api.ReviewResult) error {
	since := []string{r.Commit}
	if r.Base != "" {
		since = append(since, "^"+r.Base)
	}
	n, err := c.git.line(ctx, append([]string{"rev-list", "--count", "--end-of-options"}, since...)...)
	if err != nil {
		return err
	}
	if r.CommitCount, err = strconv.Atoi(n); err != nil {
		return fmt.Errorf("count the commits: %w", err)
	}
	args := []string{"log", "-z", "--no-decorate", "--no-notes", "--no-show-signature", "--no-patch", "--no-color", "--max-count=" + strconv.Itoa(maxCommits), "--format=%H%x00%aI%x00%an%x00%s", "--end-of-options"}
	return c.stream(ctx, func(out io.Reader) error {
		in := bufio.NewReader(out)
		for {
			var fields [4]string
			for i := range fields {
				field, _, err := record(in)
				switch {
				case errors.Is(err, io.EOF) && i == 0 && len(field) == 0:
					return nil
				case err != nil && (i < 3 || !errors.Is(err, io.EOF)): // -z ends no last record
					return fmt.Errorf("read the commits: %w", err)
				}
				fields[i] = string(field)
			}
			date, _ := time.Parse(time.RFC3339, fields[1]) // the zero value if it is none
			r.Commits = append(r.Commits, api.ReviewCommit{
				ID: fields[0], Date: date.UTC(), Author: plaintext.Line(fields[2], maxText), Subject: plaintext.Line(fields[3], maxText),
			})
		}
	}, append(args, since...)...)
}

// count counts the changed lines of the files that are listed.
func (c *Checkout) count(ctx context.Context, from string, r *api.ReviewResult) error {
	return c.stream(ctx, func(out io.Reader) error {
		in := bufio.NewReader(out)
		for i := range r.Files {
			line, _, err := record(in)
			switch {
			case errors.Is(err, io.EOF) && len(line) == 0:
				return nil
			case err != nil:
				return fmt.Errorf("read the changed lines: %w", err)
			}
			fields := strings.SplitN(string(line), "\t", 3)
			if len(fields) != 3 || len(line) < maxPath && r.Files[i].Path != shown(fields[2]) {
				return fmt.Errorf("git has counted the lines of %.80q", line)
			}
			added, err := strconv.Atoi(fields[0])
			deleted, err2 := strconv.Atoi(fields[1])
			if err == nil && err2 == nil { // else it is binary: "-"
				r.Files[i].Added, r.Files[i].Deleted = &added, &deleted
			}
		}
		return errEnough
	}, diffTree("--numstat", from, r.Commit)...)
}

// shown is a path for display. What cannot be displayed as it is, is quoted.
func shown(p string) string {
	if garbled(p) || strings.ContainsAny(p, "\"\\") {
		p = strconv.Quote(p)
	}
	return plaintext.Line(p, maxShown)
}
