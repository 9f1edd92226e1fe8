package qemu

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// CheckCreate looks for the programs that every VM needs; see backends.CreateChecker.
func (b *Backend) CheckCreate(context.Context) []backends.Finding {
	var all []backends.Finding
	for _, p := range []struct{ program, code string }{
		{b.programs.qemu, "qemu.missing"}, {b.programs.img, "qemu.img_missing"},
	} {
		if _, err := b.program(p.program); err != nil {
			all = append(all, finding(p.code, backends.Fatal, err))
		}
	}
	return all
}

// Check looks for the programs, the firmware and the accelerator. It starts nothing.
func (b *Backend) Check(ctx context.Context) []backends.Finding {
	all := b.CheckCreate(ctx)
	if _, err := b.findFirmware(); err != nil {
		all = append(all, finding("qemu.firmware_missing", backends.Warning, err))
	}
	if f, ok := b.accel.Slow(ctx, "qemu"); ok {
		all = append(all, f)
	}
	if b.findBridgeHelper() == "" {
		all = append(all, backends.Finding{
			Code: "qemu.bridge_helper_missing", Severity: backends.Info,
			Message: "bridged networks are not available: there is no qemu-bridge-helper",
		})
	}
	return append(all, b.checkBridges()...)
}

// checkBridges names the VMs that are not isolated from outside.
func (b *Backend) checkBridges() []backends.Finding {
	var all []backends.Finding
	for _, name := range b.names() {
		if r, err := filesOf(b.layout, name).readRecord(); err == nil && r.Run.alive() && r.Run.Bridge != "" {
			all = append(all, backends.Finding{
				Code: "qemu.bridge_open", Severity: backends.Info,
				Message: "VM " + name + " is on the bridge " + r.Run.Bridge + ", where the host does not isolate it: only the guest's own firewall does, which root in the guest can disable",
				Fix:     "give the machine the network nat, or a libvirt backend",
			})
		}
	}
	return all
}

func finding(code string, s backends.Severity, err error) backends.Finding {
	p := problem.From(err)
	return backends.Finding{Code: code, Severity: s, Message: p.Message, Fix: p.Hint}
}

// qemuShare is share/qemu beside the QEMU in use, which is where its own
// firmware is when it is not installed under /usr.
func (b *Backend) qemuShare() (string, bool) {
	path, err := exec.LookPath(b.programs.qemu)
	if err != nil {
		return "", false
	}
	if path, err = filepath.EvalSymlinks(path); err != nil || strings.HasPrefix(path, "/usr/") {
		return "", false
	}
	share := filepath.Join(filepath.Dir(path), "..", "share", "qemu")
	_, err = os.Stat(share)
	return share, err == nil
}
