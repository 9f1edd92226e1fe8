package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// statusAnswer is what status --json prints.
type statusAnswer struct {
	Machine   api.Machine    `json:"machine"`
	Operation *api.Operation `json:"operation,omitempty"` // the one that runs
	Snapshots []api.Snapshot `json:"snapshots"`
	// SnapshotWarning says that there are too many of them.
	SnapshotWarning string `json:"snapshotWarning,omitempty"`

	Forwards []api.Forward `json:"forwards"`
	// Network is what it has open there; absent when it does not run, or that is not known.
	Network *api.NetworkResult `json:"networkUsage,omitempty"`
	// Disk is what its disk takes, and the space that is left there; absent where that is not known.
	Disk *api.DiskResult `json:"diskUsage,omitempty"`

	Opened []api.OpenedPort `json:"opened,omitempty"` // what leads into the guest
}

func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status NAME", Short: "Show one machine: state, SSH, snapshots, problems",
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			d, err := a.connect(ctx, "status", nil)
			if err != nil {
				return err
			}
			defer d.Close()
			params := api.MachineParams{Name: args[0]}
			var m api.MachineResult
			if err := d.Call(ctx, api.MethodMachineGet, params, &m); err != nil {
				return err
			}
			s := statusAnswer{Machine: m.Machine, Snapshots: []api.Snapshot{}, Forwards: []api.Forward{}}
			if id := m.Machine.Operation; id != "" {
				var op api.OperationGetResult
				if err := d.Call(ctx, api.MethodOperationGet, api.OperationParams{ID: id}, &op); err == nil {
					s.Operation = &op.Operation
				}
			}
			// A machine without a VM, or a broken one, has neither; the rest is
			// worth showing all the same.
			var snapshots api.SnapshotListResult
			err = asideCall(ctx, d, api.MethodSnapshotList, params, &snapshots)
			if err == nil {
				s.Snapshots, s.SnapshotWarning = snapshots.Snapshots, snapshots.Warning
			} else if m.Machine.State != "absent" && m.Machine.State != "broken" {
				a.warn("cannot read its snapshots now: " + err.Error())
			}
			var forwards api.ForwardListResult
			if err := asideCall(ctx, d, api.MethodForwardList, params, &forwards); err == nil {
				s.Forwards, s.Opened = forwards.Forwards, forwards.Opened
			}
			var network api.NetworkResult
			if err := d.Call(ctx, api.MethodVMNetwork, params, &network); err == nil {
				s.Network = &network
			}
			var disk api.DiskResult
			if err := asideCall(ctx, d, api.MethodVMDisk, params, &disk); err == nil {
				s.Disk, s.Machine.Disk = &disk, &disk.Disk
			}
			return a.print(s, func(w io.Writer) { a.statusText(w, s, time.Now()) })
		},
	}
}

// asideLimit is how long something may take that is only shown along with an
// answer: a VM that hangs must not keep its status from being shown.
const asideLimit = 3 * time.Second

// asideCall asks for something that can be left out.
func asideCall(ctx context.Context, d daemon, method string, params, result any) error {
	limited, cancel := context.WithTimeout(ctx, asideLimit)
	defer cancel()
	err := d.Call(limited, method, params, result)
	if limited.Err() != nil && ctx.Err() == nil {
		return problem.New(problem.BackendUnreachable, "no answer within %s", asideLimit)
	}
	return err
}

func (a *app) statusText(w io.Writer, s statusAnswer, now time.Time) {
	m := s.Machine
	ssh := ""
	if m.SSHHost != "" {
		ssh = "ssh " + m.SSHHost + "   (admin: ssh " + m.AdminHost + ")"
	}
	state := phaseWord(m)
	if m.State == "running" {
		state = strings.TrimSuffix("running, "+m.Phase, ", ")
		if up := uptime(m, now); up != "" {
			state += ", up " + up
		}
	}
	image := m.Image.Kind
	for _, more := range []string{m.Image.Version, m.Image.ID} {
		if !strings.Contains(image, more) {
			image += ", " + more
		}
	}
	if m.Outdated {
		image += " (outdated: nixvmd upgrade " + m.Name + " replaces it)"
	}
	generation := ""
	if m.Generation > 1 {
		generation = strconv.Itoa(m.Generation)
	}
	resources := ""
	if m.MemoryMiB > 0 {
		resources = fmt.Sprintf("%d MiB, %d CPUs, disk %s", m.MemoryMiB, m.VCPUs, machine.FormatSize(m.DiskBytes))
	}
	autostart := ""
	if m.Autostart {
		autostart = "when the host boots"
	}
	pairs := [][2]string{
		{"Name", m.Name},
		{"State", state},
		{"Reason", m.Reason},
		{"SSH", ssh},
		{"Address", m.Address},
		{"Profiles", profilesText(m)},
		{"Mode", modeText(m)},
		{"Image", image},
		{"Generation", generation},
		{"Resources", resources},
		{"Disk", diskText(m.Disk)},
		{"Free space", freeText(s.Disk)},
		{"Network", m.Network},
		{"PCI devices", strings.Join(m.PCIDevices, ", ")},
		{"Connections", connectionsText(s.Network)},
		{"Refused", refusedText(s.Network, now)},
		{"Backend", backendText(m)},
		{"Autostart", autostart},
		{"Acceleration", m.Accel},
		{"Next start", nextStartText(m)},
		{"Pending", ownedText(m)},
		{"Operation", operationText(s.Operation, now)},
	}
	for _, f := range s.Forwards {
		pairs = append(pairs, [2]string{"Forward", strings.TrimSpace(fmt.Sprintf("%s -> %s (%s) %s", f.Listen, f.Target, f.State, f.Detail))})
	}
	for _, o := range s.Opened {
		pairs = append(pairs, [2]string{"Opened", openedText(o)})
	}
	fields(w, pairs...)
	if len(s.Snapshots) > 0 {
		fmt.Fprintf(w, "\nSnapshots (%d):\n", len(s.Snapshots))
		snapshotTable(w, s.Snapshots)
	}
	attentionText(w, s)
}

// attentionText is what needs the user's attention, beneath the rest.
func attentionText(w io.Writer, s statusAnswer) {
	warnings := []string{s.SnapshotWarning}
	if s.Disk != nil {
		warnings = append(warnings, s.Disk.Warning)
	}
	for _, text := range warnings {
		if text != "" {
			fmt.Fprintf(w, "\nWarning: %s\n", clean(text))
		}
	}
	for _, id := range s.Machine.Unresolved {
		fmt.Fprintf(w, "\nOperation %s could not be undone and needs a decision; see nixvmd operations\n", id)
	}
	if s.Machine.Problem != nil {
		fmt.Fprintf(w, "\nProblem: %s\n", clean(s.Machine.Problem.Message))
		if s.Machine.Problem.Hint != "" {
			fmt.Fprintf(w, "hint: %s\n", clean(s.Machine.Problem.Hint))
		}
	}
}

// diskText is what a disk takes, and what of that is of snapshots.
func diskText(d *api.DiskUsage) string {
	if d == nil {
		return ""
	}
	text := usedText(d) + " used of " + machine.FormatSize(d.VirtualBytes)
	if d.SnapshotBytes != nil && *d.SnapshotBytes > 0 {
		text += ", " + sizeText(*d.SnapshotBytes) + " of that by snapshots"
	}
	return text
}

// usedText is what a disk takes; empty where that is not known.
func usedText(d *api.DiskUsage) string {
	if d == nil {
		return ""
	}
	return sizeText(d.UsedBytes)
}

// freeText is what is left for disks.
func freeText(d *api.DiskResult) string {
	if d == nil || d.Storage == "" {
		return ""
	}
	return sizeText(d.FreeBytes) + " in " + clean(d.Storage)
}

// connectionsText is what a guest has open, and what it may have.
func connectionsText(n *api.NetworkResult) string {
	if n == nil {
		return ""
	}
	text := fmt.Sprintf("%d of %d out, %d of %d in, %d of %d UDP flows", n.Out.Now, n.Out.Limit, n.In.Now, n.In.Limit, n.UDP.Now, n.UDP.Limit)
	if n.Out.Now >= n.Out.Limit || n.In.Now >= n.In.Limit {
		text += " (limit reached; new ones are refused)"
	}
	return text
}

// refusedText is what the isolation kept a guest from.
func refusedText(n *api.NetworkResult, now time.Time) string {
	if n == nil || n.LastRefused == nil {
		return ""
	}
	times := "once"
	if n.Refused > 1 {
		times = fmt.Sprintf("%d times", n.Refused)
	}
	return fmt.Sprintf("%s, last %s to %s %s ago", times, clean(n.LastRefused.Protocol), clean(n.LastRefused.To), shortDuration(now.Sub(n.LastRefused.At)))
}

// profilesText says which of the machine's profiles its VM does not have.
func profilesText(m api.Machine) string {
	text := strings.Join(m.Profiles, ", ")
	if slices.Contains(m.Pending, "profiles") {
		text = strings.TrimSpace(text + " (pending: the image has others; nixvmd upgrade " + m.Name + " applies them)")
	}
	return text
}

// nextStartText names the settings that the VM does not have yet.
func nextStartText(m api.Machine) string {
	if len(m.NextStart) == 0 {
		return ""
	}
	return "takes over " + strings.Join(m.NextStart, ", ")
}

// backendText is the backend, with the place and the number of the VM there.
func backendText(m api.Machine) string {
	text := m.Backend
	if m.Node != "" {
		text += ", node " + m.Node
	}
	if m.VMID != 0 {
		text += fmt.Sprintf(", VM %d", m.VMID)
	}
	if slices.Contains(m.Pending, "vmid") {
		text += " (the file vmid requests another number: nixvmd recreate " + m.Name + " applies it)"
	}
	return text
}

// ownedText names the settings that the guest of a mutable machine has taken once.
func ownedText(m api.Machine) string {
	owned := slices.DeleteFunc(slices.Clone(m.Pending), func(setting string) bool { return slices.Contains([]string{"profiles", "mode", "vmid"}, setting) })
	if len(owned) == 0 {
		return ""
	}
	return strings.Join(owned, ", ") + ": its guest owns them; change them inside the VM, or nixvmd recreate " + m.Name + " applies them"
}

// openedText is one line about a port that leads into the guest.
func openedText(o api.OpenedPort) string {
	text := o.Listen + " -> the guest, until the shared SSH connection"
	if o.Account != "" {
		text += " of " + o.Account
	}
	return text + " ends (opened by ssh -L or -D)"
}

// operationText is one line about an operation that runs.
func operationText(op *api.Operation, now time.Time) string {
	if op == nil {
		return ""
	}
	text := string(op.Kind) + ": " + op.Message
	if op.Percent != nil {
		text += fmt.Sprintf(", %d%%", *op.Percent)
	}
	text += ", since " + shortDuration(now.Sub(op.Started))
	if op.Client != "" {
		text += ", for " + op.Client
	}
	return text
}
