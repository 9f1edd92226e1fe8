package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newPCI(a *app) *cobra.Command {
	var p api.PCIListParams
	c := &cobra.Command{
		Use: "pci", Short: "List the PCI devices of the host",
		Long: `List the PCI devices of the host of a backend, with their IOMMU groups and drivers.
--pci ADDRESS of create and configure passes one through to a VM: READY says
whether that can be done now.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r api.PCIListResult
			if err := a.ask(cmd.Context(), "pci", api.MethodBackendPCI, p, &r); err != nil {
				return err
			}
			if r.Problem != "" {
				a.note("%s", clean(r.Problem))
			} else if len(r.Devices) == 0 {
				a.note("the host of backend %s has no PCI devices", clean(r.Backend))
			}
			return a.print(r, func(w io.Writer) {
				rows := make([][]string, 0, len(r.Devices))
				for _, d := range r.Devices {
					rows = append(rows, []string{d.Address, groupText(d), orNone(d.Driver), pciState(d), aboutPCI(d)})
				}
				if len(rows) > 0 {
					table(w, []string{"ADDRESS", "GROUP", "DRIVER", "READY", "DEVICE"}, rows)
				}
			})
		},
	}
	c.Flags().StringVar(&p.Backend, "backend", "", "`NAME` of the backend; absent: the default backend")
	completeFlags(a, c)
	return c
}

func groupText(d api.PCIDevice) string {
	if d.Group == nil {
		return orNone("")
	}
	return fmt.Sprint(*d.Group)
}

// pciState says in a word whether a VM can have a device now.
func pciState(d api.PCIDevice) string {
	switch {
	case d.UsedBy != "":
		return "used by " + d.UsedBy
	case d.Problem != "":
		return "no"
	}
	return "yes"
}

// readyNote is what keeps a device from a VM, in a list of choices.
func readyNote(d api.PCIDevice) string {
	switch {
	case d.UsedBy != "":
		return " (used by " + d.UsedBy + ")"
	case d.Problem != "":
		return " (not ready)"
	}
	return ""
}

// aboutPCI is what a device is.
func aboutPCI(d api.PCIDevice) string {
	name := d.Name
	if name == "" {
		name = d.ID
	}
	return clean(d.Class + ": " + name)
}

// completePCI offers the devices of the backend that the command names: those that a VM can
// have now come first.
func (a *app) completePCI(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var r api.PCIListResult
	if !a.lookup(cmd, api.MethodBackendPCI, api.PCIListParams{Backend: a.backendOf(cmd, args)}, &r) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ready, others []string
	for _, d := range r.Devices {
		word := cobra.CompletionWithDesc(clean(d.Address), aboutPCI(d)+readyNote(d))
		if d.Problem == "" {
			ready = append(ready, word)
		} else {
			others = append(others, word)
		}
	}
	return append(ready, others...), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
