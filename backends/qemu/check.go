package qemu

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// Check looks for the programs, the firmware and the accelerator. It starts nothing.
func (b *Backend) Check(context.Context) []backends.Finding {
	var all []backends.Finding
	for _, p := range []struct{ program, code string }{
		{b.programs.qemu, "qemu.missing"}, {b.programs.img, "qemu.img_missing"},
	} {
		if _, err := b.program(p.program); err != nil {
			all = append(all, finding(p.code, backends.Fatal, err))
		}
	}
	if _, err := b.findFirmware(); err != nil {
		all = append(all, finding("qemu.firmware_missing", backends.Warning, err))
	}
	if f, ok := b.checkAccel(); ok {
		all = append(all, f)
	}
	if b.findBridgeHelper() == "" {
		all = append(all, backends.Finding{
			Code: "qemu.bridge_helper_missing", Severity: backends.Info,
			Message: "bridged networks are not available: there is no qemu-bridge-helper",
		})
	}
	return all
}

func finding(code string, s backends.Severity, err error) backends.Finding {
	p := problem.From(err)
	return backends.Finding{Code: code, Severity: s, Message: p.Message, Fix: p.Hint}
}

// checkAccel says why VMs are slow here, if they are.
func (b *Backend) checkAccel() (backends.Finding, bool) {
	slow := backends.Finding{Code: "qemu.kvm_unusable", Severity: backends.Warning}
	const effect = ": VMs are emulated and about ten times slower"
	err := unix.Access(kvmDevice, unix.R_OK|unix.W_OK)
	switch {
	case b.accel.forced == accelTCG:
		slow.Code, slow.Severity = "qemu.kvm_off", backends.Info
		slow.Message = "KVM is switched off by NIXVM_ACCEL or the configuration" + effect
	case errors.Is(err, unix.ENOENT):
		slow.Message = kvmDevice + " does not exist" + effect
		slow.Fix = "enable virtualisation in the firmware, then: sudo modprobe kvm_intel (or kvm_amd)"
	case err != nil:
		slow.Message = kvmDevice + " is not open to this user" + effect
		slow.Fix = "sudo usermod -aG kvm $USER, then log in again"
	default:
		v, err := b.accel.read()
		if err != nil || !v.valid(b.accel.host()) || v.Works {
			return backends.Finding{}, false
		}
		slow.Message = kvmDevice + " exists, but no guest gets up with it" + effect
		slow.Fix = "nested virtualisation may be off on the outer host; NIXVM_ACCEL=kvm uses it all the same"
	}
	return slow, true
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
