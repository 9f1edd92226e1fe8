package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// configureFlags are the flags of configure, as typed.
type configureFlags struct {
	resourceFlags
	profiles        []string
	network         string
	tcp, udp, cidrs []string
	autostart       bool
}

func newConfigure(a *app) *cobra.Command {
	var f configureFlags
	cmd := &cobra.Command{
		Use: "configure NAME", Short: "Change the settings of a machine",
		Long: `Change the settings of a machine. Options that are not given keep their values; a
list replaces the previous list. Changes take effect at the next start, except
--autostart, which takes effect immediately. Profiles are part of the image: for
an existing VM a change of --profiles stays pending (see status), because nixvmd
cannot replace the image of a VM yet.`,
		Example: "  nixvmd configure demo --memory 8192 --vcpus 4",
		Args:    takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			params, err := f.params(cmd, args[0])
			if err != nil {
				return err
			}
			var r api.MachineResult
			if err := a.ask(cmd.Context(), "configure", api.MethodMachineConfigure, params, &r); err != nil {
				return err
			}
			if r.Machine.State == "running" && atNextStart(cmd) {
				a.note("%s uses the new settings from its next start", args[0])
			}
			if slices.Contains(r.Machine.Pending, "profiles") {
				a.note("pending: profiles are part of the image, and the image of %s cannot be replaced yet; a new VM has them", args[0])
			}
			return a.print(r, func(w io.Writer) { fmt.Fprintf(w, "%s is configured\n", args[0]) })
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.profiles, "profiles", nil, "comma-separated profiles `A,B`; pending if the VM exists")
	f.add(flags, "new size of the state disk, `SIZE`; it cannot shrink")
	flags.BoolVar(&f.autostart, "autostart", false, "start the VM when its host boots, if the backend supports that")
	flags.StringVar(&f.network, "network", "", "`NETWORK`: nat or bridge:<interface>")
	flags.StringArrayVar(&f.tcp, "tcp-port", nil, "open TCP `PORT` in the guest's firewall; may be repeated")
	flags.StringArrayVar(&f.udp, "udp-port", nil, "open UDP `PORT` in the guest's firewall; may be repeated")
	flags.StringArrayVar(&f.cidrs, "allow-cidr", nil, "allow this private network, as `CIDR`; may be repeated")
	completeFlags(a, cmd)
	return cmd
}

// atNextStart reports whether something was changed that a VM which runs has
// yet to take over.
func atNextStart(cmd *cobra.Command) bool {
	others := 0
	for _, flag := range []string{"profiles", "autostart"} {
		if cmd.Flags().Changed(flag) {
			others++
		}
	}
	return ownFlags(cmd) > others
}

func (f configureFlags) params(cmd *cobra.Command, name string) (api.ConfigureParams, error) {
	p := api.ConfigureParams{Name: name, Profiles: trimmed(f.profiles), AllowedCIDRs: f.cidrs}
	if err := machine.ValidName(name); err != nil {
		return p, err
	}
	if ownFlags(cmd) == 0 {
		return p, problem.New(problem.BadParams, "nothing to change").WithHint("nixvmd configure --help lists what can be changed")
	}
	p.Autostart = given(cmd, "autostart", f.autostart)
	var err error
	if p.MemoryMiB, p.VCPUs, p.DiskBytes, err = f.parse(); err != nil {
		return p, err
	}
	if f.network != "" {
		p.Network = &f.network
	}
	if p.TCPPorts, err = parsePorts("--tcp-port", f.tcp); err != nil {
		return p, err
	}
	p.UDPPorts, err = parsePorts("--udp-port", f.udp)
	return p, err
}
