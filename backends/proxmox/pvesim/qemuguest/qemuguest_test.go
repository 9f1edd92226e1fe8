package qemuguest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
)

// size is the virtual size of a disk, and backing the file below it.
func size(t *testing.T, file string) (bytes int64, backing string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "qemu-img", "info", "-U", "--output=json", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Size    int64  `json:"virtual-size"`
		Backing string `json:"backing-filename"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		t.Fatal(err)
	}
	return info.Size, info.Backing
}

// A VM without an operating system: its disks, its medium and its power are changed while
// it runs.
func TestTheHardwareOfARunningVMChanges(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("there is no QEMU here: ", err)
	}
	dir, err := os.MkdirTemp("", "qg-") // the names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g := New(dir)
	disk := pvesim.Disk{Key: "scsi0", Size: 64 << 20}
	first, err := g.Overlay(disk)
	if err != nil {
		t.Fatal(err)
	}
	disk.File, disk.Format = first, "qcow2"
	second, err := g.Overlay(disk)
	if err != nil {
		t.Fatal(err)
	}
	iso := filepath.Join(dir, "iso")
	if err := os.WriteFile(iso, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	started, err := g.Start(pvesim.VM{ID: 1, Config: map[string]string{"memory": "64"}, Disks: []pvesim.Disk{disk, {Key: "scsi2", Media: "cdrom", File: iso}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(started.Kill)
	m := started.(pvesim.Live)
	console, err := m.Console()
	if err != nil {
		t.Fatalf("Console: %v\n%s", err, g.Log(1))
	}
	console.Close()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"Pause", m.Pause},
		{"Branch", func() error { return m.Branch(map[string]string{"scsi0": second}) }},
		{"Resize", func() error { return m.Resize("scsi0", 128<<20) }},
		{"Insert nothing", func() error { return m.Insert("scsi2", "") }},
		{"Insert", func() error { return m.Insert("scsi2", iso) }},
		{"Resume", m.Resume},
		{"Reset", m.Reset},
	} {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
	}
	if _, err := m.Ask("guest-ping", nil); err == nil {
		t.Error("there is no agent, and it answers")
	}
	if bytes, _ := size(t, first); bytes != 64<<20 {
		t.Errorf("the former disk has %d bytes", bytes)
	}
	if bytes, backing := size(t, second); bytes != 128<<20 || backing != first {
		t.Errorf("the disk has %d bytes, on top of %q", bytes, backing)
	}
}
