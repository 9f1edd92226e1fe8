package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Size is the size of the terminal, in characters.
type Size struct{ Columns, Rows int }

// Frame is what the terminal showed from At until the next frame.
type Frame struct {
	At    time.Duration // since the start
	Lines []Line
}

// sampling is how often the screen is looked at.
const sampling = 100 * time.Millisecond

// Record runs a command in a terminal of that size and returns the screens that
// differ, first to last. A command that fails is an error: a picture of a failed
// run should not be published inadvertently.
func Record(ctx context.Context, size Size, command []string) ([]Frame, error) {
	dir, err := os.MkdirTemp("", "svgcast")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	term := terminal{dir: dir}
	// The server ends with its only session.
	defer func() { _, _ = term.do(context.WithoutCancel(ctx), "kill-server") }()
	if err := term.start(ctx, size, command); err != nil {
		return nil, err
	}

	home, _ := os.UserHomeDir() // without one there is nothing to hide
	var frames []Frame
	last, start := "", time.Now()
	ticker := time.NewTicker(sampling)
	defer ticker.Stop()
	for {
		// Asked before the screen is read, so that the last screen is complete.
		ended, status, err := term.ended(ctx)
		if err != nil {
			return nil, err
		}
		screen, err := term.do(ctx, "capture-pane", "-e", "-p")
		if err != nil {
			return nil, err
		}
		if home != "" {
			screen = strings.ReplaceAll(screen, home+"/", "~/")
		}
		if screen != last {
			last = screen
			frames = append(frames, Frame{At: time.Since(start), Lines: ParseScreen(screen)})
		}
		if ended && status != 0 {
			return nil, fmt.Errorf("%s: exit status %d; the screen was:\n%s", strings.Join(command, " "), status, screen)
		}
		if ended {
			return frames, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s: %w", strings.Join(command, " "), ctx.Err())
		case <-ticker.C:
		}
	}
}

// terminal is a tmux server of our own, with one window.
type terminal struct{ dir string }

// epitaph is the window title that says with which status the command ended. It
// comes through the terminal, so everything that was printed is there before it.
const epitaph = "svgcast: ended with "

// start runs the command. The shell around it stays when it has ended: tmux would
// scroll the screen to say that a program is gone.
func (t terminal) start(ctx context.Context, size Size, command []string) error {
	script := shellQuote(command) + `; printf '\033]2;` + epitaph + `%d\007' $?; exec cat`
	_, err := t.do(ctx, "new-session", "-d", "-x", strconv.Itoa(size.Columns), "-y", strconv.Itoa(size.Rows), "cat",
		";", "set-option", "-g", "status", "off",
		";", "set-option", "-g", "default-terminal", "tmux-256color",
		";", "respawn-pane", "-k", script)
	return err
}

func (t terminal) ended(ctx context.Context) (ended bool, status int, err error) {
	title, err := t.do(ctx, "display-message", "-p", "#{pane_title}")
	if err != nil {
		return false, 0, err
	}
	code, ended := strings.CutPrefix(strings.TrimSpace(title), epitaph)
	if ended {
		status, err = strconv.Atoi(code)
	}
	return ended, status, err
}

// do runs a command of tmux, without any user's configuration file.
func (t terminal) do(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "tmux", append([]string{"-S", filepath.Join(t.dir, "tmux"), "-f", os.DevNull}, args...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("tmux %s: %s", args[0], strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}

// shellQuote makes one shell command of a program and its arguments.
func shellQuote(command []string) string {
	quoted := make([]string, len(command))
	for i, word := range command {
		quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}
