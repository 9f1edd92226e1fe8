package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the machines", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r api.MachineListResult
			if err := a.ask(cmd.Context(), "list", api.MethodMachineList, api.NoParams{}, &r); err != nil {
				return err
			}
			if err := a.print(r, func(w io.Writer) { listText(w, r, time.Now()) }); err != nil {
				return err
			}
			if len(r.Machines) == 0 {
				a.note("no machines; create one with nixvmd create")
			}
			a.listProblems(r.Machines)
			return nil
		},
	}
}

func listText(w io.Writer, r api.MachineListResult, now time.Time) {
	if len(r.Machines) == 0 {
		return
	}
	rows := make([][]string, 0, len(r.Machines))
	for _, m := range r.Machines {
		rows = append(rows, []string{
			m.Name, stateWord(m, operationOf(m, r.Operations)), m.Mode, strings.Join(m.Profiles, ","), imageWord(m),
			m.Backend, m.SSHHost, usedText(m.Disk), uptime(m, now),
		})
	}
	table(w, []string{"NAME", "STATE", "MODE", "PROFILES", "IMAGE", "BACKEND", "SSH", "DISK", "UPTIME"}, rows)
}

// listProblems says beneath the table what is wrong with a machine.
func (a *app) listProblems(machines []api.Machine) {
	if a.quiet || a.json {
		return
	}
	for _, m := range machines {
		switch {
		case m.Problem != nil:
			fmt.Fprintf(a.err, "%s: %s\n", m.Name, clean(m.Problem.Message))
			a.showHint(m.Problem.Hint)
		case m.Reason != "" && m.State != "stopped": // a guest that was powered off needs no attention
			fmt.Fprintf(a.err, "%s is %s: %s\n", m.Name, phaseWord(m), clean(m.Reason))
		}
		if len(m.Unresolved) > 0 {
			fmt.Fprintf(a.err, "%s: an operation could not be undone and needs a decision\n", m.Name)
			a.showHint("nixvmd operations lists the choices")
		}
	}
}

// imageWord is the image of a machine, and whether an upgrade would give it another one.
func imageWord(m api.Machine) string {
	if m.Outdated {
		return m.Image.Kind + " (outdated)"
	}
	return m.Image.Kind
}

func operationOf(m api.Machine, running []api.Operation) *api.Operation {
	for _, op := range running {
		if op.ID == m.Operation {
			return &op
		}
	}
	return nil
}

// stateWord is one word for the table: the operation that runs, if one does,
// says more than the state.
func stateWord(m api.Machine, op *api.Operation) string {
	switch {
	case op != nil && op.Percent != nil:
		return fmt.Sprintf("%s:%d%%", op.Kind, *op.Percent)
	case op != nil:
		return string(op.Kind)
	}
	return phaseWord(m)
}

// phaseWord is the phase of a machine for people: one that is ready runs. A
// daemon of revision 1, which app.connect warns of, has only the state.
func phaseWord(m api.Machine) string {
	switch m.Phase {
	case "ready":
		return "running"
	case "":
		return string(m.State)
	}
	return m.Phase
}

func uptime(m api.Machine, now time.Time) string {
	if m.Started.IsZero() || (m.State != "running" && m.State != "suspended") {
		return ""
	}
	return shortDuration(now.Sub(m.Started).Truncate(time.Second))
}
