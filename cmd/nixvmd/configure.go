package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// configureFlags are the flags of configure, as typed.
type configureFlags struct {
	resourceFlags
	profiles            []string
	network, mode       string
	staticIP, gateway   string
	tcp, udp, cidrs     []string
	pci                 []string
	dns, hosts          []string
	addKeys, removeKeys []string
	autostart           bool
	apply               bool
}

func newConfigure(a *app) *cobra.Command {
	var f configureFlags
	cmd := &cobra.Command{
		Use: "configure NAME", Short: "Change the settings of a machine",
		Long: `Change the settings of a machine. Options that are not given keep their values; a
list replaces the previous list, and the word none empties it. Ports, networks,
DNS, hosts and keys are applied to a running VM at once if its image supports that
(guest contract 2), --autostart and a larger --disk always; memory, CPUs, network,
address and PCI devices take effect at the next start, and status lists what a running VM does not have
yet. Profiles and mode are part of the image: those of an existing VM are pending
(see status) until nixvmd upgrade or, if the VM is or becomes mutable, nixvmd
recreate, which empties its disks. --mode show explains the modes.`,
		Example: `  nixvmd configure demo --memory 8192 --vcpus 4
  nixvmd configure demo --mode mutable
  nixvmd configure demo --network bridge:br0 --static-ip 192.168.1.10/24 --gateway 192.168.1.1 --dns 192.168.1.1
  nixvmd configure demo --tcp-port none --add-key ~/.ssh/desktop.pub`,
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			params, err := f.params(cmd, args[0])
			if err != nil {
				return err
			}
			if f.mode == "show" {
				return a.showMode(cmd, args[0])
			}
			var r api.MachineResult
			if err := a.ask(cmd.Context(), "configure", api.MethodMachineConfigure, params, &r); err != nil {
				return err
			}
			if id := r.Machine.Operation; id != "" {
				if err := a.followApply(cmd.Context(), id, &r); err != nil {
					return err
				}
			}
			if waiting := r.Machine.NextStart; len(waiting) > 0 {
				a.note("pending until the next start of %s: %s", args[0], strings.Join(waiting, ", "))
			}
			if slices.Contains(r.Machine.Pending, "profiles") {
				a.note("pending: profiles are part of the image; nixvmd upgrade %s applies them", args[0])
			}
			if owned := ownedText(r.Machine); owned != "" {
				a.note("pending: %s", owned)
			}
			if f.mode != "" {
				a.noteMode(r.Machine)
			}
			return a.print(r, func(w io.Writer) { fmt.Fprintf(w, "%s is configured\n", args[0]) })
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.profiles, "profiles", nil, "comma-separated profiles `A,B`; pending if the VM exists")
	f.add(flags, "new size of the state disk, `SIZE`; it cannot shrink")
	flags.BoolVar(&f.autostart, "autostart", false, "start the VM when its host boots, if the backend supports that")
	flags.StringVar(&f.mode, "mode", "", "`MODE`: immutable, semi-mutable or mutable; pending if the VM exists; show explains them")
	flags.BoolVar(&f.apply, "apply", false, "apply edits of the machine's files to the running VM")
	flags.StringVar(&f.network, "network", "", "`NETWORK`: nat or bridge:<interface>")
	flags.StringVar(&f.staticIP, "static-ip", "", "static `ADDRESS` with the length of its network, 192.168.1.10/24; or dhcp")
	flags.StringVar(&f.gateway, "gateway", "", "gateway `ADDRESS` of the static address; or none")
	flags.StringArrayVar(&f.dns, "dns", nil, "name server `ADDRESS`; may be repeated; none: those of DHCP")
	flags.StringArrayVar(&f.hosts, "host", nil, "line of the guest's hosts file, `\"ADDRESS NAME...\"`; may be repeated; or none")
	flags.StringArrayVar(&f.tcp, "tcp-port", nil, "open TCP `PORT` in the guest's firewall; may be repeated; or none")
	flags.StringArrayVar(&f.udp, "udp-port", nil, "open UDP `PORT` in the guest's firewall; may be repeated; or none")
	flags.StringArrayVar(&f.cidrs, "allow-cidr", nil, "allow this private network, as `CIDR`; may be repeated; or none")
	flags.StringArrayVar(&f.pci, "pci", nil, "pass the PCI device with this `ADDRESS` through to the VM; may be repeated; or none")
	flags.StringArrayVar(&f.addKeys, "add-key", nil, "authorize the SSH public keys in `FILE` too; may be repeated")
	flags.StringArrayVar(&f.removeKeys, "remove-key", nil, "remove a `KEY`: its file, fingerprint or comment; may be repeated")
	completeFlags(a, cmd)
	return cmd
}

// followApply waits until the running guest has, or refuses, what was configured: then
// it is in the machine's files and waits for the next start.
func (a *app) followApply(ctx context.Context, id string, r *api.MachineResult) error {
	name := r.Machine.Name
	_, err := a.follow(ctx, "configure", id, true)
	if err != nil && problem.From(err).Code != problem.IdentityNotApplied {
		return err
	}
	if err != nil {
		a.warn(err.Error())
	}
	*r = api.MachineResult{} // what is absent now would stay
	return a.ask(ctx, "configure", api.MethodMachineGet, api.MachineParams{Name: name}, r)
}

func (f configureFlags) params(cmd *cobra.Command, name string) (api.ConfigureParams, error) {
	p := api.ConfigureParams{
		Name: name, Profiles: trimmed(f.profiles), AllowedCIDRs: orNoneAtAll(f.cidrs), PCIDevices: orNoneAtAll(f.pci),
		Nameservers: orNoneAtAll(f.dns), Hosts: orNoneAtAll(f.hosts), RemoveKeys: keysOrNames(f.removeKeys),
	}
	if err := names.Machine(name); err != nil {
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
	if f.mode != "" {
		p.Mode = &f.mode
	}
	if cmd.Flags().Changed("static-ip") {
		p.StaticIP = &f.staticIP
	}
	if cmd.Flags().Changed("gateway") {
		gateway := strings.TrimSuffix(f.gateway, "none")
		p.Gateway = &gateway
	}
	if p.TCPPorts, err = parsePorts("--tcp-port", orNoneAtAll(f.tcp)); err != nil {
		return p, err
	}
	if p.UDPPorts, err = parsePorts("--udp-port", orNoneAtAll(f.udp)); err != nil {
		return p, err
	}
	p.AddKeys, err = readKeys("--add-key", f.addKeys)
	return p, err
}

// orNoneAtAll takes the word none for a list without entries, which is not the same as
// no list.
func orNoneAtAll(words []string) []string {
	if len(words) == 1 && words[0] == "none" {
		return []string{}
	}
	return words
}

// keysOrNames gives the keys of the files among the words; what is no file of public
// keys is a fingerprint or a comment.
func keysOrNames(words []string) []string {
	var list []string
	for _, word := range words {
		if keys, err := readKeys("--remove-key", []string{word}); err == nil && exists(word) {
			list = append(list, keys...)
		} else {
			list = append(list, word)
		}
	}
	return list
}
