package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newBridges(a *app) *cobra.Command {
	var p api.BridgeListParams
	c := &cobra.Command{
		Use: "bridges", Short: "List the network bridges of the host",
		Long: `List the network bridges of the host of a backend. --network bridge:NAME of create,
clone and configure attaches a VM to one. A bridge is up while one of its ports
carries traffic.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r api.BridgeListResult
			if err := a.ask(cmd.Context(), "bridges", api.MethodBackendBridges, p, &r); err != nil {
				return err
			}
			if len(r.Bridges) == 0 {
				a.note("the host of backend %s has no bridges", clean(r.Backend))
			}
			return a.print(r, func(w io.Writer) {
				rows := make([][]string, 0, len(r.Bridges))
				for _, b := range r.Bridges {
					rows = append(rows, []string{b.Name, bridgeState(b), orNone(strings.Join(b.Addresses, ",")), orNone(strings.Join(b.Ports, ","))})
				}
				if len(rows) > 0 {
					table(w, []string{"BRIDGE", "STATE", "ADDRESSES", "PORTS"}, rows)
				}
			})
		},
	}
	c.Flags().StringVar(&p.Backend, "backend", "", "`NAME` of the backend; absent: the default backend")
	completeFlags(a, c)
	return c
}

func bridgeState(b api.Bridge) string {
	if b.Up {
		return "up"
	}
	return "down"
}

// aboutBridge describes a bridge in a list of choices.
func aboutBridge(b api.Bridge) string {
	about := []string{bridgeState(b)}
	about = append(about, b.Addresses...)
	if len(b.Ports) > 0 {
		about = append(about, "with "+strings.Join(b.Ports, " "))
	}
	return clean(strings.Join(about, ", "))
}

// completeNetworks offers nat, and the bridges of the backend that the command names.
func (a *app) completeNetworks(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	words := []string{"nat"}
	var r api.BridgeListResult
	if !a.lookup(cmd, api.MethodBackendBridges, api.BridgeListParams{Backend: a.backendOf(cmd, args)}, &r) {
		return append(words, "bridge:"), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	for _, b := range r.Bridges {
		words = append(words, cobra.CompletionWithDesc("bridge:"+clean(b.Name), aboutBridge(b)))
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// backendOf is the backend that a command line is about: of its flag, or of the
// machine that its first argument names; "" is the default one.
func (a *app) backendOf(cmd *cobra.Command, args []string) string {
	if flag := cmd.Flags().Lookup("backend"); flag != nil && flag.Value.String() != "" {
		return flag.Value.String()
	}
	var m api.MachineResult
	if len(args) > 0 && a.lookup(cmd, api.MethodMachineGet, api.MachineParams{Name: args[0]}, &m) {
		return m.Machine.Backend
	}
	return ""
}
