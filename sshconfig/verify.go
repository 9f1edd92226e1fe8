package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/sshsettings"
)

// defaultVerifyTimeout bounds one `ssh -G`: a `Match exec` of the user's may hang.
const defaultVerifyTimeout = 10 * time.Second

// decisive keywords decide which VM is reached, how, as whom, and whether it is the
// right one: an ssh that does not print one of them has not read the entry. Others
// are compared if they are printed.
var decisive = map[string]bool{
	"hostname": true, "port": true, "user": true, "proxycommand": true, "hostkeyalias": true,
	"userknownhostsfile": true, "stricthostkeychecking": true, "controlpath": true, "forwardagent": true,
}

// mismatch is an entry that ssh understands differently.
type mismatch struct {
	block   block
	keyword string
	want    string
	got     string
}

// verdict is what ssh makes of one block.
type verdict struct {
	block     block
	wrong     *mismatch // nil: it means what it should
	inherited []Inherited
}

// verify asks ssh what the blocks mean when read through the user's file. An
// error means ssh could not answer at all.
func (c *Config) verify(ctx context.Context, u userFile, blocks []block) ([]verdict, error) {
	all := make([]verdict, len(blocks))
	err := c.askAll(ctx, len(blocks), func(i int) string { return blocks[i].alias }, func(i int, a sshsettings.Settings) {
		b := blocks[i]
		all[i] = verdict{b, compare(b, a), c.inherited(u, b.alias, b.text, a)}
	})
	return all, err
}

// askAll runs `ssh -G` for n aliases, some at once, and calls f with each answer
// from goroutines of its own.
func (c *Config) askAll(ctx context.Context, n int, alias func(int) string, f func(int, sshsettings.Settings)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(2, runtime.NumCPU()))
	for i := range n {
		g.Go(func() error {
			a, err := c.sshG(ctx, alias(i))
			if err == nil {
				f(i, a)
			}
			return err
		})
	}
	return g.Wait()
}

// errNotAccepted begins ssh's complaint about the user's file.
var errNotAccepted = errors.New("ssh does not accept")

// CheckProgram says whether there is an ssh to verify with, and to connect.
func (c *Config) CheckProgram() error {
	if _, err := exec.LookPath(c.opts.SSH); err != nil {
		return noProgram(err)
	}
	return nil
}

func noProgram(err error) error {
	return problem.New(problem.BackendMissing, "no ssh program was found: %w", err).
		WithHint("Debian, Ubuntu: sudo apt install openssh-client; Fedora: sudo dnf install openssh-clients")
}

// sshG runs `ssh -G`, which resolves the configuration and connects nowhere.
//
// A file that is ssh's own is read as ssh reads it, with the system's, and with the
// check of who may write it: -F would skip both.
func (c *Config) sshG(ctx context.Context, alias string) (sshsettings.Settings, error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, c.verifyTimeout)
	defer cancel()
	args := []string{"-G", alias}
	if c.system == "" {
		file := c.opts.UserConfig
		if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
			file = "none" // -F wants one that exists; this is as good as an empty one
		}
		args = []string{"-G", "-F", file, alias}
	}
	cmd := exec.CommandContext(ctx, c.opts.SSH, args...)
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return sshsettings.Parse(string(out)), nil
	case errors.Is(err, exec.ErrNotFound):
		return nil, noProgram(err)
	case caller.Err() != nil:
		return nil, fmt.Errorf("ssh -G %s: %w", alias, caller.Err())
	case ctx.Err() != nil:
		return nil, problem.New(problem.SSHConfigMalformed, "ssh -G did not finish reading %s in %s", c.opts.UserConfig, c.verifyTimeout).
			WithHint("a Match exec line in it may hang; the configuration was left unchanged")
	case errors.As(err, &exit):
		return nil, problem.New(problem.SSHConfigMalformed, "%w %s: %s", errNotAccepted, c.opts.UserConfig, firstLine(stderr.String())).
			WithHint("correct that line; the configuration was left unchanged")
	}
	return nil, fmt.Errorf("ssh -G %s: %w", alias, err)
}

// firstLine of a program's message, fit to be shown.
func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u009b' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.ToValidUTF8(s[:min(len(s), 300)], "")
}

// compare returns the first value that is not what the block sets. ssh prints
// each value without quotes, so what was quoted is unquoted here. Of keywords whose
// values add up, ours must come first: programs that read `ssh -G` take that one.
func compare(b block, a sshsettings.Settings) *mismatch {
	for _, o := range b.options {
		keyword := strings.ToLower(o.keyword)
		if keywords[keyword].care == opens { // our own forward; see inherited
			continue
		}
		want := o.value
		if keyword != "proxycommand" {
			want = strings.Join(splitArgs(o.value), " ")
		}
		got, printed := a.First(keyword), len(a[keyword]) > 0
		if !printed && (!decisive[keyword] || want == "none") || same(keyword, got, want, a.First("user")) {
			continue
		}
		return &mismatch{b, keyword, want, got}
	}
	return nil
}

// same knows the words that ssh -G writes differently.
func same(keyword, got, want, account string) bool {
	if keyword == "controlpath" { // ssh may have expanded the account
		want = strings.ReplaceAll(want, "%r", account)
		got = strings.ReplaceAll(got, "%r", account)
	}
	return sshsettings.Same(got, want)
}
