package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/internal/problem"
)

// confirmFlag adds --confirm to a verb that destroys something.
func confirmFlag(cmd *cobra.Command, confirm *string) {
	cmd.Flags().StringVar(confirm, "confirm", "", "confirm by repeating the machine's `NAME`; required without a terminal")
}

// confirmed makes sure that the user means it: --confirm repeats the machine's
// name; without it, on a terminal, loss is shown and the name is asked for.
// again is the command line that would have been enough.
func (a *app) confirmed(name, given, again string, loss func(w io.Writer) error) error {
	needed := func(format string, args ...any) error {
		return problem.New(problem.ConfirmRequired, format, args...).WithHint("%s --confirm %s", again, name)
	}
	switch {
	case given == name:
		return nil
	case given != "":
		return needed("--confirm %q does not match the name %s", given, name)
	case !a.interactive():
		return needed("this has to be confirmed, and there is no terminal to ask at")
	}
	if err := loss(a.err); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "Type %s to continue: ", a.paint(red, name))
	answer, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(answer) != name {
		return needed("the names do not match; nothing was changed")
	}
	return nil
}
