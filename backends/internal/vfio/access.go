package vfio

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

// overhead of the memory of a guest, in MiB: QEMU maps the registers of devices as well,
// which count. It is what libvirt adds (qemuDomainGetMemLockLimitBytes).
const overhead = 1024

// CheckAccess refuses devices whose group this user cannot open.
func (h Host) CheckAccess(devices []Passed) error {
	access := h.Access
	if access == nil {
		access = func(path string) error { return unix.Access(path, unix.R_OK|unix.W_OK) }
	}
	container := h.path("dev/vfio/vfio")
	if err := access(container); errors.Is(err, unix.ENOENT) {
		return problem.New(problem.PCIUnavailable, "VFIO is not available: %s does not exist", container).WithHint("sudo modprobe vfio-pci")
	} else if err != nil {
		return problem.New(problem.PCIUnavailable, "%s is not open to this user: %w", container, err).WithHint("sudo chmod 666 %s", container)
	}
	var seen []int
	for _, d := range devices {
		if slices.Contains(seen, d.Group) {
			continue
		}
		seen = append(seen, d.Group)
		group := h.path("dev/vfio", strconv.Itoa(d.Group))
		if err := access(group); err != nil {
			return problem.New(problem.PCIUnavailable, "%s, the IOMMU group of %s, is not open to this user: %w", group, d.Address, err).
				WithHint("%s", AllowUser(group))
		}
	}
	return nil
}

// AllowUser gives the devices of VFIO to this user, a group now and all from the next boot on.
func AllowUser(group string) string {
	return fmt.Sprintf(`sudo chown %s %s; to keep that: echo 'SUBSYSTEM=="vfio", OWNER="%[1]s"' | sudo tee /etc/udev/rules.d/70-nixvm-vfio.rules`, userName(), group)
}

// CheckMemory refuses a VM whose memory this process, and so QEMU, must not lock. The
// kernel pins all memory that a device can reach, and counts it.
func (h Host) CheckMemory(memoryMiB int) error {
	limit, without := h.limits()
	need := needed(memoryMiB)
	if without || limit.Max >= need {
		return nil
	}
	return problem.New(problem.PCIUnavailable, "a VM with PCI devices and %d MiB of memory locks %d MiB, and the limit of this user is %d MiB (ulimit -H -l)",
		memoryMiB, need>>20, limit.Max>>20).
		WithHint("echo '%s - memlock %d' | sudo tee /etc/security/limits.d/nixvm.conf, log in again, and start nixvmd again: nixvmd shutdown", userName(), need>>10)
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}

// RaiseLimit makes this process, whose limits programs inherit, lock as much memory as a VM
// with PCI devices needs.
func RaiseLimit(memoryMiB int) error {
	limit, without := Host{}.limits()
	need := needed(memoryMiB)
	if without || limit.Cur >= need {
		return nil
	}
	limit.Cur = min(need, limit.Max)
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("raise the limit of locked memory to %d MiB: %w", need>>20, err)
	}
	return nil
}

func needed(memoryMiB int) uint64 { return uint64(memoryMiB+overhead) << 20 }

// limits: the kernel does not count for a process with CAP_IPC_LOCK, which programs of
// root have.
func (h Host) limits() (limit unix.Rlimit, without bool) {
	if h.Limits != nil {
		return h.Limits()
	}
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return limit, true // QEMU says what is wrong
	}
	return limit, os.Geteuid() == 0
}
