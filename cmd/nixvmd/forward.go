package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newForward(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "forward", Short: "Make services of the host available in a VM",
		Long: `Manage remote forwards: ports or sockets in the guest that lead to a service of the
host. They are like those of ssh -R, but are stored with the machine.`,
		Example: `  nixvmd forward add demo 8080 localhost:8080    guest port 8080 leads to host port 8080
  nixvmd forward list demo`,
		Args: takes(),
		RunE: verbMissing,
	}
	daemonHeld := false
	list := &cobra.Command{
		Use: "list NAME", Short: "List the forwards of a machine and their state",
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.forward(cmd, api.MethodForwardList, api.MachineParams{Name: args[0]})
		},
	}
	add := &cobra.Command{
		Use: "add NAME LISTEN TARGET", Short: "Add a forward, including to open connections",
		Long: `Add a forward. The syntax is that of RemoteForward in ssh_config(5): the address to
listen on in the guest, and the destination on the host, as one or two arguments.`,
		Args: takes("NAME", "LISTEN", "[TARGET]"), ValidArgsFunction: a.completeFirst(a.completeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			line := strings.Join(args[1:], " ")
			if daemonHeld {
				line += " daemon"
			}
			return a.forward(cmd, api.MethodForwardAdd, api.ForwardParams{Name: args[0], Forward: line})
		},
	}
	add.Flags().BoolVar(&daemonHeld, "daemon", false, "keep the forward open by the daemon, independently of SSH sessions")
	remove := &cobra.Command{
		Use: "remove NAME LISTEN TARGET", Short: "Remove a forward, including from open connections",
		Args: takes("NAME", "LISTEN", "[TARGET]"), ValidArgsFunction: a.completeFirst(a.completeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.forward(cmd, api.MethodForwardRemove, api.ForwardParams{Name: args[0], Forward: strings.Join(args[1:], " ")})
		},
	}
	cmd.AddCommand(list, add, remove)
	return cmd
}

// forward calls one of the three methods, which all answer with the list.
func (a *app) forward(cmd *cobra.Command, method string, params any) error {
	var r api.ForwardListResult
	if err := a.ask(cmd.Context(), "forward "+cmd.Name(), method, params, &r); err != nil {
		return err
	}
	if len(r.Forwards) == 0 {
		a.note("no forward")
	}
	return a.print(r, func(w io.Writer) {
		rows := make([][]string, 0, len(r.Forwards))
		for _, f := range r.Forwards {
			rows = append(rows, []string{f.Listen, f.Target, f.State, f.Detail})
		}
		if len(rows) > 0 {
			table(w, []string{"IN THE GUEST", "ON THE HOST", "STATE", "DETAIL"}, rows)
		}
		for _, o := range r.Opened {
			fmt.Fprintln(w, clean(openedText(o)))
		}
	})
}
