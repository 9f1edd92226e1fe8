package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/nixbuild"
)

// modes are the modes and what they mean, in the order of their freedom.
var modes = [][2]string{
	{nixbuild.Immutable, "read-only system, state on a separate disk"},
	{nixbuild.SemiMutable, "the same, with a writable /nix"},
	{nixbuild.Mutable, "one writable disk"},
}

// modeDetails say what one gets by a mode, and what one gives up.
var modeDetails = map[string]string{
	nixbuild.Immutable:   "The guest cannot change its system; what it stores is on /var. The image is shared, not copied, and the host replaces it.",
	nixbuild.SemiMutable: "As immutable; in addition the guest can install packages with nix. They are kept on /var.",
	nixbuild.Mutable:     "The guest owns its system and is upgraded from inside (nixos-rebuild switch). The image is copied in full; the host does not replace it.",
}

// showMode prints the mode of a machine, what each means, and what applies another one.
func (a *app) showMode(cmd *cobra.Command, name string) error {
	if ownFlags(cmd) > 1 {
		return problem.New(problem.BadParams, "--mode show changes nothing and takes no other options")
	}
	m, err := a.machine(cmd.Context(), "configure", name)
	if err != nil {
		return err
	}
	return a.print(api.MachineResult{Machine: m}, func(w io.Writer) {
		fmt.Fprintf(w, "%s is %s\n\n", name, modeText(m))
		for _, mode := range modes {
			fmt.Fprintf(w, "%s: %s\n  %s\n", mode[0], mode[1], modeDetails[mode[0]])
		}
		fmt.Fprintf(w, "\nTo change it: nixvmd configure %s --mode MODE\n", name)
		if m.State != "absent" {
			fmt.Fprintf(w, "Then nixvmd recreate %s, which empties the disks, if the VM is or becomes mutable; otherwise nixvmd upgrade %s\n", name, name)
		}
	})
}

// noteMode says what the new mode of a machine means, and what applies it.
func (a *app) noteMode(m api.Machine) {
	a.note("%s: %s", m.Mode, modeDetails[m.Mode])
	if slices.Contains(m.Pending, "mode") {
		a.note("pending: the VM is %s; %s", m.VMMode, modeApplies(m))
	}
}

// modeApplies says what gives the VM the mode of its machine.
func modeApplies(m api.Machine) string {
	if m.Mode == nixbuild.Mutable || m.VMMode == nixbuild.Mutable {
		return "nixvmd recreate " + m.Name + " applies the mode, with empty disks"
	}
	return "nixvmd upgrade " + m.Name + " applies the mode, and keeps the data"
}

// modeText is the mode of a machine, and that of its VM where it is another one.
func modeText(m api.Machine) string {
	if m.VMMode == "" {
		return m.Mode
	}
	return fmt.Sprintf("%s (pending: the VM is %s; %s)", m.Mode, m.VMMode, modeApplies(m))
}
