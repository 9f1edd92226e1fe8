package machine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/internal/hostpci"
	"github.com/nixvm/nixvm/internal/problem"
)

// Limits of a machine, wherever it is realised: what its backend and the host of that
// can give is less, and theirs to say (backends.Limits).
const (
	MinMemoryMiB = 128
	MaxMemoryMiB = 16 << 20 // 16 TiB
	MaxVCPUs     = 1024
	minVMID      = 100 // Proxmox VE keeps the numbers below
	maxVMID      = 999999999
)

// number reads a file with one whole number within limits.
func (t text) number(least, most int, what, hint string) (int, error) {
	l, ok, err := t.value()
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, t.fault(0, hint, "the file is empty")
	}
	n, err := strconv.Atoi(l.text)
	if err != nil || n < least || n > most {
		return 0, t.fault(l.number, hint, "%s is not %s", quote(l.text), what)
	}
	return n, nil
}

// ParseMemory reads an amount of memory as people type it, in MiB: "8G", "512M",
// or a bare number of MiB, as the file memory has it. The problem is size.invalid.
func ParseMemory(s string) (mib int, err error) {
	s = strings.TrimSpace(s)
	const hint = "write a number with a unit, e.g. 4G or 512M; a bare number means MiB"
	mib, err = strconv.Atoi(s)
	bare := err == nil
	if !bare {
		bytes, err := ParseSize(s)
		if err != nil {
			return 0, problem.New(problem.SizeInvalid, "%s is not an amount of memory", quote(s)).WithHint(hint)
		}
		if bytes%(1<<20) != 0 {
			return 0, problem.New(problem.SizeInvalid, "%s is not a whole number of MiB", quote(s)).WithHint(hint)
		}
		mib = int(bytes >> 20)
	}
	if mib >= MinMemoryMiB && mib <= MaxMemoryMiB {
		return mib, nil
	}
	p := problem.New(problem.SizeInvalid, "%s is not between %d MiB and %d GiB of memory", quote(s), MinMemoryMiB, MaxMemoryMiB>>10).WithHint(hint)
	if bare && mib > 0 && mib < MinMemoryMiB {
		p = p.WithHint("a bare number means MiB; write %dG for %d GiB", mib, mib)
	}
	return 0, p
}

// ParseVCPUs reads a number of virtual CPUs; the problem is machine.invalid.
func ParseVCPUs(s string) (int, error) {
	var m Machine
	if err := parseVCPUs(&m, text{VCPUsFile, []byte(s)}); err != nil {
		return 0, asProblem(err, (*Fault).invalid)
	}
	return m.VCPUs, nil
}

func parseMemory(m *Machine, t text) (err error) {
	m.MemoryMiB, err = t.number(MinMemoryMiB, MaxMemoryMiB, "an amount of memory in MiB",
		fmt.Sprintf("write a whole number of MiB, at least %d, e.g. 8192 for 8 GiB", MinMemoryMiB))
	return err
}

func parseVCPUs(m *Machine, t text) (err error) {
	m.VCPUs, err = t.number(1, MaxVCPUs, "a number of virtual CPUs",
		fmt.Sprintf("write a whole number from 1 to %d, e.g. 4", MaxVCPUs))
	return err
}

func parseVMID(m *Machine, t text) error {
	if _, ok, err := t.value(); err != nil || !ok {
		return err
	}
	n, err := t.number(minVMID, maxVMID, "a VMID of Proxmox VE",
		fmt.Sprintf("write a number from %d to %d, or remove the file", minVMID, maxVMID))
	m.VMID = n
	return err
}

func printVMID(m Machine) string {
	if m.VMID == 0 {
		return ""
	}
	return fmt.Sprintln(m.VMID)
}

func parseDiskSize(m *Machine, t text) error {
	l, ok, err := t.value()
	if err != nil {
		return err
	}
	if !ok {
		return t.fault(0, sizeHint, "the file is empty")
	}
	n, err := ParseSize(l.text)
	var p *problem.Error
	if errors.As(err, &p) {
		f := t.fault(l.number, p.Hint, "%s", p.Message)
		f.Code = p.Code
		return f
	}
	if n < MinDiskBytes || n > MaxDiskBytes {
		f := t.fault(l.number, "choose a size within these limits, e.g. 30G", "%s is not between %s and %s",
			quote(l.text), FormatSize(MinDiskBytes), FormatSize(MaxDiskBytes))
		f.Code = problem.SizeInvalid
		return f
	}
	m.DiskBytes = n
	return nil
}

func parseAutostart(m *Machine, t text) error {
	l, ok, err := t.value()
	if err != nil || !ok {
		return err
	}
	if l.text != "true" && l.text != "false" {
		return t.fault(l.number, "write true, or remove the file", "%s is neither true nor false", quote(l.text))
	}
	m.Autostart = l.text == "true"
	return nil
}

func printAutostart(m Machine) string {
	if !m.Autostart {
		return ""
	}
	return "true\n"
}

// parseVarSize reads the name that older nixos-vm-template gives disk_size.
func parseVarSize(m *Machine, t text) error {
	if m.DiskBytes != 0 {
		return nil
	}
	return parseDiskSize(m, t)
}

func parsePCIDevices(m *Machine, t text) error {
	all, err := t.lines()
	if err != nil {
		return err
	}
	for _, l := range all {
		if _, err := hostpci.Parse(l.text); err != nil {
			return t.fault(l.number, "write the address of a PCI device, as 0000:01:00.0, 01:00.0, or 0000:01:00 for all its functions", "%v", err)
		}
		m.PCIDevices = append(m.PCIDevices, l.text)
	}
	return nil
}
