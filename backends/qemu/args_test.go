package qemu

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/vfio"
	"github.com/nixvm/nixvm/internal/hostpci"
)

var update = flag.Bool("update", false, "write the golden files")

// exampleSpec is a VM with values that must reach QEMU unchanged.
func exampleSpec() backends.Spec {
	return backends.Spec{
		Name: "demo", UUID: "2c7e8d1a-8d5d-4d07-9a0c-6d1c4a3f1e11", MAC: "52:54:00:aa:bb:cc",
		MemoryMiB: 4096, VCPUs: 4, DiskBytes: 30 << 30,
		Image: backends.Image{
			ID: "sha256-1", Disk: "/images/1/boot.qcow2", Format: "qcow2",
			Kernel: "/images/1/vmlinuz", Initrd: "/images/1/initrd", Cmdline: "console=ttyS0 root=/dev/vda2 ro x=a,b",
		},
	}
}

func TestArguments(t *testing.T) {
	// A comma and a quote in a path must not become options.
	files := vmFiles{dir: `/home/o,"u/state/vms/demo`, runtime: "/run/user/1000/nixvm/vm/0123456789"}
	tests := map[string]func(*launch){
		"direct": func(*launch) {},
		"kvm":    func(l *launch) { l.accel = host.KVM },
		"pci": func(l *launch) {
			gpu := hostpci.Address{Bus: 1}
			l.passed = []vfio.Passed{{Device: vfio.Device{Address: gpu}}, {Device: vfio.Device{Address: hostpci.Address{Bus: 1, Function: 1}}, HideROM: true}}
		},
		"bridge": func(l *launch) { l.spec.Bridge, l.port = "br0", 0 },
		"uefi-mutable": func(l *launch) {
			l.spec.Mutable, l.spec.Image.Kernel = true, ""
			l.firmware = Firmware{Code: "/usr/share/OVMF/OVMF_CODE_4M.fd", Vars: files.path(varsFile)}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			l := launch{spec: exampleSpec(), files: files, accel: host.TCG, port: 22022}
			change(&l)
			golden(t, filepath.Join("testdata", name+".args"), strings.Join(l.args(), "\n")+"\n")
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (go test -update writes it):\n%s", path, d)
	}
}

func TestQEMUHasNoNetworkButTheWire(t *testing.T) {
	l := launch{spec: exampleSpec(), files: vmFiles{dir: "/s", runtime: "/r"}, accel: host.TCG, port: 22022}
	line := strings.Join(l.args(), " ")
	if strings.Contains(line, "tcp:") || strings.Contains(line, "hostfwd") || !strings.Contains(line, "-netdev dgram,id=net0,local.type=unix,local.path=wire-qemu,remote.type=unix,remote.path=wire-net ") {
		t.Errorf("QEMU has more of the network than a wire: %s", line)
	}
	for _, part := range []string{"-sandbox on,", "spawn=deny", "elevateprivileges=deny", `"locking":"on"`} {
		if !strings.Contains(line, part) {
			t.Errorf("no %s in %s", part, line)
		}
	}
}
