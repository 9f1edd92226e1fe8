package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func newDoctor(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check this host, and print the command that fixes each problem",
		Long: `Check everything that nixvm needs on this host: QEMU and KVM, the tools that build
images, the SSH configuration, and the machines. The exit code is 1 if anything
prevents VMs from working.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r api.DoctorResult
			if err := a.ask(cmd.Context(), "doctor", api.MethodDoctor, api.NoParams{}, &r); err != nil {
				// Why no daemon answers is the first thing to know.
				r.Findings = []api.Finding{findingOf(err)}
			}
			if err := a.print(r, func(w io.Writer) { doctorText(w, r.Findings) }); err != nil {
				return err
			}
			for _, f := range r.Findings {
				if f.Severity == "error" {
					return exitError{exitFailed}
				}
			}
			return nil
		},
	}
}

func findingOf(err error) api.Finding {
	p := problem.From(err)
	var cause *problem.Error
	if errors.As(err, &cause) && p.Hint == "" {
		p.Hint = cause.Hint
	}
	return api.Finding{Area: "daemon", Code: string(p.Code), Severity: "error", Message: p.Message, Fix: p.Hint}
}

func doctorText(w io.Writer, findings []api.Finding) {
	wrong := 0
	for _, f := range findings {
		if f.Severity != "info" {
			wrong++
		}
		fmt.Fprintf(w, "%-8s %s: %s\n", f.Severity, clean(f.Area), clean(f.Message))
		if f.Fix != "" {
			fmt.Fprintf(w, "         fix: %s\n", clean(f.Fix))
		}
	}
	if wrong == 0 {
		fmt.Fprintln(w, "no problems found")
	}
}
