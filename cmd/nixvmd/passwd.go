package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/passwordhash"
	"github.com/nixvm/nixvm/internal/problem"
)

func newPasswd(a *app) *cobra.Command {
	var stdin, remove, hashOnly bool
	cmd := &cobra.Command{
		Use: "passwd NAME", Short: "Set or remove root's password for the serial console",
		Long: `Set the password with which root can log in on the serial console (nixvmd
console). SSH never takes passwords. Only its hash (yescrypt) leaves this program:
it is kept in the file root_password_hash of the machine directory.

A running VM gets it at once if its image supports that (guest contract 2),
otherwise at its next start. A mutable guest owns its passwords: change them
inside, with sudo passwd root.

With --hash the hash is printed and no machine is changed, for a machine directory
that is kept elsewhere, and for editors.`,
		Example: `  nixvmd passwd demo
  pass show vm/demo | nixvmd passwd demo --stdin
  nixvmd passwd demo --remove`,
		Args: func(cmd *cobra.Command, args []string) error {
			if hashOnly && len(args) > 0 {
				return problem.New(problem.BadParams, "--hash takes no NAME: it changes no machine").WithHint("nixvmd passwd --hash")
			}
			if hashOnly {
				return nil
			}
			return takes("NAME")(cmd, args)
		},
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case remove && (stdin || hashOnly):
				return problem.New(problem.BadParams, "--remove needs no password").WithHint("give it without --stdin and --hash")
			case hashOnly:
				hash, err := a.passwordHash(cmd.Context(), "", stdin)
				if err != nil {
					return err
				}
				return a.print(hashAnswer{hash}, func(w io.Writer) { fmt.Fprintln(w, hash) })
			}
			if err := names.Machine(args[0]); err != nil {
				return err
			}
			hash, err := "", a.passwordPossible(cmd.Context(), args[0])
			if err == nil && !remove {
				hash, err = a.passwordHash(cmd.Context(), args[0], stdin)
			}
			if err != nil {
				return err
			}
			return a.setPassword(cmd.Context(), args[0], hash)
		},
	}
	cmd.Flags().BoolVar(&stdin, "stdin", false, "read the password from standard input, one line")
	cmd.Flags().BoolVar(&hashOnly, "hash", false, "print the hash of a password; NAME is not given")
	cmd.Flags().BoolVar(&remove, "remove", false, "remove the password: root cannot log in with one")
	return cmd
}

// hashAnswer is what passwd --hash --json prints.
type hashAnswer struct {
	Hash string `json:"hash"`
}

// passwordPossible asks whether the machine takes a password, before one is typed.
func (a *app) passwordPossible(ctx context.Context, name string) error {
	var r api.DraftResult
	draft := api.DraftParams{For: "configure", Name: name, RootPasswordHash: "*"}
	if err := a.ask(ctx, "passwd", api.MethodMachineCheck, draft, &r); err != nil {
		return err
	}
	for _, field := range []string{"name", "rootPasswordHash"} {
		if p := r.Fields[field].Problem; p != nil {
			return p
		}
	}
	return nil
}

// passwordHash reads a password and returns its hash.
func (a *app) passwordHash(ctx context.Context, name string, stdin bool) (string, error) {
	var password []byte
	var err error
	switch {
	case stdin:
		password, err = readLine(a.in)
	case !a.interactive():
		err = problem.New(problem.BadParams, "there is no terminal for the password").WithHint("--stdin reads it from standard input")
	default:
		password, err = a.typedTwice(ctx, name)
	}
	if err != nil {
		return "", err
	}
	hash, err := passwordhash.Of(password)
	if err != nil {
		return "", problem.New(problem.BadParams, "%w", err).WithHint("nothing was changed")
	}
	return hash, nil
}

// readLine reads one line of bounded length; more than one is not a password.
func readLine(in io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, passwordhash.MaxBytes+2))
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r")), nil
}

// typedTwice asks for a password on the terminal, without showing it.
func (a *app) typedTwice(ctx context.Context, name string) ([]byte, error) {
	first, err := a.readSecret(ctx, strings.TrimSuffix("New password of root in "+name, " in ")+": ")
	if err != nil || passwordhash.Check(first) != nil { // what is wrong, hashing it says
		return first, err
	}
	second, err := a.readSecret(ctx, "The same again: ")
	if err == nil && !bytes.Equal(first, second) {
		err = problem.New(problem.BadParams, "the two passwords are not the same").WithHint("nothing was changed")
	}
	return first, err
}

// setPassword gives the machine the hash, "" for no password, and says when it holds.
func (a *app) setPassword(ctx context.Context, name, hash string) error {
	var r api.MachineResult
	if err := a.ask(ctx, "passwd", api.MethodMachineConfigure, api.ConfigureParams{Name: name, RootPasswordHash: &hash}, &r); err != nil {
		return err
	}
	if id := r.Machine.Operation; id != "" {
		if err := a.followApply(ctx, id, &r); err != nil {
			return err
		}
	}
	if waiting := r.Machine.NextStart; len(waiting) > 0 {
		a.note("pending until the next start of %s: %s", name, strings.Join(waiting, ", "))
	}
	return a.print(r, func(w io.Writer) {
		if hash == "" {
			fmt.Fprintf(w, "root has no password in %s\n", name)
		} else {
			fmt.Fprintf(w, "root has a new password in %s\n", name)
		}
	})
}
