package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
)

// Checkout is a repository of the user.
type Checkout struct {
	// Dir is the directory that was named: the work tree or below it, or a bare repository.
	Dir string

	git     git
	objects string // its object directory
	format  string // of its object names: sha1, sha256
}

// shortLimit bounds a call of git that reads a few files.
const shortLimit = 30 * time.Second

// Open finds the repository that holds dir, an absolute path.
//
// Problems: repository.not_found, backend.missing_program.
func Open(ctx context.Context, dir string) (*Checkout, error) {
	ctx, cancel := short(ctx)
	defer cancel()
	fi, err := os.Stat(dir)
	if err == nil && !fi.IsDir() {
		err = errors.New("not a directory")
	}
	if err != nil {
		return nil, problem.New(problem.RepositoryNotFound, "the checkout: %w", err).WithHint("name a directory of a git checkout on this host")
	}
	c := &Checkout{Dir: dir, git: git{dir: dir}}
	if c.objects, err = c.git.line(ctx, "rev-parse", "--path-format=absolute", "--git-path", "objects"); err == nil {
		c.format, err = c.git.line(ctx, "rev-parse", "--show-object-format")
	}
	switch {
	case says(err, "not a git repository"):
		return nil, problem.New(problem.RepositoryNotFound, "%s is not in a git repository", dir).WithHint("run it in the checkout of the project, or name that with --dir; git init makes one")
	case err != nil:
		return nil, problem.New(problem.RepositoryNotFound, "the git repository of %s cannot be used: %w", dir, err).WithHint("see whether git -C %s status works", quote(dir))
	case strings.ContainsAny(c.objects, "\n\r") || !filepath.IsAbs(c.objects):
		return nil, problem.New(problem.RepositoryNotFound, "the path of the repository, %q, contains a line break", c.objects).WithHint("rename the directory")
	}
	return c, nil
}

// Value returns the commit that a reference points to; empty if there is no such one.
func (c *Checkout) Value(ctx context.Context, ref string) (string, error) {
	ctx, cancel := short(ctx)
	defer cancel()
	value, err := c.git.line(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if exited(err, 1) {
		return "", nil
	}
	return value, err
}

func short(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, shortLimit, problem.New(problem.PullFailed, "git did not answer within %s", shortLimit).Retry())
}

// quote makes one word of a POSIX shell of any text.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
