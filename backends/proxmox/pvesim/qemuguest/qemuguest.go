// Package qemuguest lets the VMs of a simulated Proxmox VE be real: a started VM is a QEMU
// with the disks that were imported for it.
//
//	sim := pvesim.Start(t, pvesim.Config{Machines: qemuguest.New(dir)})
//
// Each VM has the address that [pvesim.DefaultAgent] gives it, inside and outside: QEMU's
// user-mode network forwards its port 22. For that the addresses of
// [pvesim.DefaultSubnet] have to belong to the host, best in a network namespace:
//
//	ip route add local 198.51.100.0/24 dev lo src 127.0.0.1
//
// Every volume is a qcow2 file on top of what it was imported, cloned or taken back from.
// Not everything is real: memory takes no part in snapshots, and of the hardware of a VM
// only memory, processors, disks, the first net, the serial port and the agent count.
package qemuguest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
)

var (
	_ pvesim.Machines = (*Guests)(nil)
	_ pvesim.Disks    = (*Guests)(nil)
	_ pvesim.Live     = (*machine)(nil)
)

// Guests runs VMs with QEMU, with files in one directory.
type Guests struct {
	dir   string
	accel string

	mu    sync.Mutex
	disks int
}

// New returns what runs VMs with files in dir, which has to have a short name since
// sockets are in it. NIXVM_ACCEL chooses the accelerator, as in other tests.
func New(dir string) *Guests {
	accel := os.Getenv("NIXVM_ACCEL")
	if accel == "" || accel == "tcg" {
		accel = "tcg,thread=multi"
	}
	return &Guests{dir: dir, accel: accel}
}

// Overlay makes a disk on top of a file, or an empty one. The variables of the firmware
// begin as those of OVMF.
func (g *Guests) Overlay(base pvesim.Disk) (string, error) {
	if base.File == "" && base.Key == "efidisk0" {
		base.File, base.Format = firmwareVariables, "raw"
	}
	g.mu.Lock()
	g.disks++
	path := filepath.Join(g.dir, fmt.Sprintf("disk-%d.qcow2", g.disks))
	g.mu.Unlock()
	args := []string{"create", "-q", "-f", "qcow2"}
	if base.File != "" {
		// -u: the file may be that of a guest which runs, and the size is known.
		args = append(args, "-u", "-b", base.File, "-F", base.Format)
	}
	args = append(args, path, strconv.FormatInt(base.Size, 10))
	if out, err := exec.CommandContext(context.Background(), "qemu-img", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("qemu-img create: %w: %s", err, out)
	}
	return path, nil
}

// Start runs QEMU for a VM, and waits until it answers.
func (g *Guests) Start(vm pvesim.VM) (pvesim.Machine, error) {
	log, err := os.Create(g.path(vm.ID, "log"))
	if err != nil {
		return nil, fmt.Errorf("a log for QEMU: %w", err)
	}
	defer log.Close()
	cmd := exec.CommandContext(context.Background(), "qemu-system-x86_64", g.args(vm)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start QEMU: %w", err)
	}
	m := &machine{qmp: g.path(vm.ID, "qmp"), agent: g.path(vm.ID, "ga"), serial: g.path(vm.ID, "serial"), cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // a guest that ended is one that ended
		close(m.done)
	}()
	if err := m.answers(); err != nil {
		m.Kill()
		return nil, fmt.Errorf("%w: %s", err, g.Log(vm.ID))
	}
	return m, nil
}

// Log is what QEMU and the console of a VM said, for a test that failed.
func (g *Guests) Log(vmid int) string {
	text := ""
	for _, name := range []string{"log", "console"} {
		if data, err := os.ReadFile(g.path(vmid, name)); err == nil {
			text += string(data)
		}
	}
	return text
}

func (g *Guests) path(vmid int, name string) string {
	return filepath.Join(g.dir, fmt.Sprintf("%d.%s", vmid, name))
}
