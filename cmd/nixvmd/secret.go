package main

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/nixvm/nixvm/internal/problem"
)

// readSecret asks for a line on the terminal, without showing what is typed. A signal
// ends it, and leaves the terminal as it was.
func (a *app) readSecret(ctx context.Context, prompt string) ([]byte, error) {
	fd := int(a.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	ends := watchSignals(true)
	defer ends.stop()
	ctx, cancel := ends.during(ctx)
	defer cancel()
	defer func() { _ = term.Restore(fd, before) }() // fails on what is a terminal no more
	if err := hideTyped(fd); err != nil {
		return nil, err
	}
	fmt.Fprint(a.err, prompt)
	defer fmt.Fprintln(a.err)
	type line struct {
		text []byte
		err  error
	}
	typed := make(chan line, 1)
	go func() { // after a signal it goes on until the program ends, which is at once
		text, err := term.ReadPassword(fd)
		typed <- line{text, err}
	}()
	select {
	case l := <-typed:
		if l.err != nil {
			return nil, problem.New(problem.Cancelled, "no password was typed; nothing was changed")
		}
		return l.text, nil
	case <-ctx.Done():
		return nil, problem.New(problem.Cancelled, "nothing was changed")
	}
}

// hideTyped switches the echo off. The library does so too, but only after the prompt:
// what is typed, or pasted, at once would show.
func hideTyped(fd int) error {
	settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		settings.Lflag &^= unix.ECHO
		err = unix.IoctlSetTermios(fd, unix.TCSETS, settings)
	}
	if err != nil {
		return fmt.Errorf("hide what is typed: %w", err)
	}
	return nil
}
