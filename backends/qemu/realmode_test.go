package qemu

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest/realmode"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/testproc"
)

// realModeGuest is a "kernel" of 42 bytes for tests that need a real QEMU and
// no operating system. It starts within milliseconds, uses no CPU time, sends
// back every byte that it gets on the serial port, powers off on 'q' and resets
// on 'r'. It has no agent and ignores the power button.
func realModeGuest() []byte {
	code := []byte{
		0xfb,             // sti
		0xf4,             // loop: hlt, until the next timer tick
		0xba, 0xfd, 0x03, // mov dx, 0x3fd (line status)
		0xec,       // in al, dx
		0xa8, 0x01, // test al, 1
		0x74, 0xf7, // jz loop
		0xba, 0xf8, 0x03, // mov dx, 0x3f8 (data)
		0xec,      // in al, dx
		0xee,      // out dx, al
		0x3c, 'q', // cmp al, 'q'
		0x74, 0x06, // je off
		0x3c, 'r', // cmp al, 'r'
		0x74, 0x0b, // je reset
		0xeb, 0xe8, // jmp loop
		0xba, 0x04, 0x06, // off: mov dx, 0x604 (ACPI PM1a control)
		0xb8, 0x00, 0x20, // mov ax, 0x2000 (sleep enable, type 0)
		0xef,       // out dx, ax
		0xeb, 0xdf, // jmp loop
		0xba, 0xf9, 0x0c, // reset: mov dx, 0xcf9 (reset control)
		0xb0, 0x06, // mov al, 6
		0xee,       // out dx, al
		0xeb, 0xd7, // jmp loop
	}
	return realmode.Kernel(code)
}

// stage is a directory with an image of the real-mode guest.
type stage struct {
	layout paths.Layout
	image  backends.Image
}

// newStage needs real QEMU programs; there is no test of QEMU without them.
func newStage(t testing.TB) stage {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: this test starts QEMU")
	}
	for _, p := range []string{"qemu-system-x86_64", "qemu-img"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%v; %s", err, installHint)
		}
	}
	// Not t.TempDir: its path holds the test's name and is too long for a socket.
	dir, err := os.MkdirTemp("", "nixvm-")
	if err != nil {
		t.Fatal(err)
	}
	over, err := testproc.Guard(dir)
	must(t, err)
	t.Cleanup(func() {
		endGuests(t, dir)
		over()
		os.RemoveAll(dir)
	})
	s := stageAt(dir)
	if err := os.WriteFile(s.image.Kernel, realModeGuest(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", s.image.Disk, "1M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

// endGuests kills what a test has left running below dir. VMs outlive their
// backend, so those of a test that failed in the middle would run for ever.
func endGuests(t testing.TB, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "state", "vms", "*", "qemu.pid"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // its VM has just been destroyed
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		// The process is held by fd now, so what its command line says stays true.
		if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && bytes.Contains(line, []byte(dir+"/")) {
			if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
				t.Errorf("QEMU of %s stays: %v", file, err)
			}
		}
		_ = unix.Close(fd)
	}
}

// stageAt names the stage that newStage has made in dir.
func stageAt(dir string) stage {
	return stage{layout: paths.Under(dir), image: backends.Image{
		ID: "real-mode", Disk: filepath.Join(dir, "boot.qcow2"), Format: "qcow2", Kernel: filepath.Join(dir, "kernel"), Cmdline: "x",
	}}
}

func (s stage) spec(name string) backends.Spec {
	return backends.Spec{
		Name: name, UUID: "2c7e8d1a-8d5d-4d07-9a0c-6d1c4a3f1e11", MAC: "52:54:00:00:00:01",
		MemoryMiB: 32, VCPUs: 1, DiskBytes: 16 << 20, Image: s.image, Identity: make([]byte, 2048),
	}
}

// open opens a Backend that is closed at the end of the test.
func (s stage) open(t testing.TB, change ...func(*Config)) *Backend {
	t.Helper()
	c := Config{Name: "test", Layout: s.layout, Accel: host.TCG}
	for _, f := range change {
		f(&c)
	}
	b, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// stopped is a stage with a Backend that has the VM "vm".
func stopped(t testing.TB, l limits) (stage, *Backend) {
	t.Helper()
	s := newStage(t)
	b := s.openWithin(t, l)
	made(t, b, s.spec("vm"))
	return s, b
}

// running is stopped with the VM started.
func running(t testing.TB, l limits) (stage, *Backend) {
	t.Helper()
	s, b := stopped(t, l)
	must(t, b.Start(limit(t), s.spec("vm")))
	return s, b
}
