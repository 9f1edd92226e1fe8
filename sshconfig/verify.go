package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nixvm/nixvm/internal/problem"
)

// defaultVerifyTimeout bounds one `ssh -G`: a `Match exec` of the user's may hang.
const defaultVerifyTimeout = 10 * time.Second

// verified keywords of `ssh -G`, as ssh prints them (lower case). Together they
// decide which VM is reached, how, as whom, and whether it is the right one.
var verified = map[string]bool{
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

// verify asks ssh what the blocks mean when read through the user's file. An
// error means ssh could not answer at all.
func (c *Config) verify(ctx context.Context, blocks []block) ([]mismatch, error) {
	found := make([]*mismatch, len(blocks))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(2, runtime.NumCPU()))
	for i, b := range blocks {
		g.Go(func() error {
			out, err := c.sshG(ctx, b.alias)
			if err == nil {
				found[i] = compare(b, out)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var all []mismatch
	for _, m := range found {
		if m != nil {
			all = append(all, *m)
		}
	}
	return all, nil
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
	return problem.New(problem.BackendMissing, "there is no ssh program: %w", err).
		WithHint("Debian, Ubuntu: sudo apt install openssh-client; Fedora: sudo dnf install openssh-clients")
}

// sshG runs `ssh -G`, which resolves the configuration and connects nowhere.
func (c *Config) sshG(ctx context.Context, alias string) ([]byte, error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, c.verifyTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.opts.SSH, "-G", "-F", c.opts.UserConfig, alias)
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, exec.ErrNotFound):
		return nil, noProgram(err)
	case caller.Err() != nil:
		return nil, fmt.Errorf("ssh -G %s: %w", alias, caller.Err())
	case ctx.Err() != nil:
		return nil, problem.New(problem.SSHConfigMalformed, "ssh -G did not finish reading %s in %s", c.opts.UserConfig, c.verifyTimeout).
			WithHint("a Match exec line there may hang; the configuration was left as it was")
	case errors.As(err, &exit):
		return nil, problem.New(problem.SSHConfigMalformed, "%w %s: %s", errNotAccepted, c.opts.UserConfig, firstLine(stderr.String())).
			WithHint("correct that line; the configuration was left as it was")
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
// each value without quotes, so what was quoted is unquoted here.
func compare(b block, out []byte) *mismatch {
	got := map[string]string{}
	for line := range strings.SplitSeq(string(out), "\n") {
		keyword, value, _ := strings.Cut(line, " ")
		if _, seen := got[keyword]; !seen {
			got[keyword] = value
		}
	}
	for _, o := range b.options {
		keyword := strings.ToLower(o.keyword)
		if !verified[keyword] {
			continue
		}
		want := o.value
		if keyword != "proxycommand" {
			want = strings.Join(splitArgs(o.value), " ")
		}
		if g := got[keyword]; g != want && !same(keyword, g, want, got["user"]) {
			return &mismatch{b, keyword, want, g}
		}
	}
	return nil
}

// same knows the words that ssh -G writes differently.
func same(keyword, got, want, account string) bool {
	switch keyword {
	case "controlpath": // ssh may have expanded the account
		return got == strings.ReplaceAll(want, "%r", account)
	case "stricthostkeychecking":
		return want == "yes" && got == "true"
	case "proxycommand":
		return want == "none" && got == ""
	}
	return false
}
