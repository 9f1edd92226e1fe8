package qemu

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest/realmode"
	"github.com/nixvm/nixvm/backends/qemu/qemulog"
)

// complainingGuest makes QEMU complain without end: it writes a value that is wrong
// into a register of the virtio device in slotRandom, by the window that its PCI
// configuration has for that (VIRTIO_PCI_CAP_PCI_CFG, virtio 1.2, 4.1.4.9).
func complainingGuest() []byte {
	return realmode.Kernel([]byte{
		0xfa,       // cli
		0xb3, 0x34, // mov bl, 0x34 (where the capabilities begin)
		0xe8, 0x4a, 0x00, // call readb
		0x88, 0xc1, // walk: mov cl, al
		0x88, 0xc3, // mov bl, al
		0x80, 0xc3, 0x03, // add bl, 3 (virtio's type)
		0xe8, 0x40, 0x00, // call readb
		0x3c, 0x05, // cmp al, 5 (VIRTIO_PCI_CAP_PCI_CFG)
		0x74, 0x09, // je found
		0x88, 0xcb, // mov bl, cl
		0xfe, 0xc3, // inc bl (the next one)
		0xe8, 0x35, 0x00, // call readb
		0xeb, 0xe9, // jmp walk
		0x88, 0xcb, // found: mov bl, cl
		0x80, 0xc3, 0x04, // add bl, 4
		0xe8, 0x30, 0x00, // call sel
		0xb0, 0x04, // mov al, 4 (the BAR)
		0xee,             // out dx, al
		0x80, 0xc3, 0x04, // add bl, 4
		0xe8, 0x27, 0x00, // call sel
		0x66, 0xb8, 0x1c, 0x00, 0x00, 0x00, // mov eax, 0x1c (queue_enable)
		0x66, 0xef, // out dx, eax
		0x80, 0xc3, 0x04, // add bl, 4
		0xe8, 0x19, 0x00, // call sel
		0x66, 0xb8, 0x02, 0x00, 0x00, 0x00, // mov eax, 2 (bytes)
		0x66, 0xef, // out dx, eax
		0x80, 0xc3, 0x04, // add bl, 4
		0xe8, 0x0b, 0x00, // call sel
		0xb8, 0x02, 0x00, // flood: mov ax, 2 (only 1 is right)
		0xef,       // out dx, ax
		0xeb, 0xfa, // jmp flood
		0xe8, 0x02, 0x00, // readb: call sel
		0xec,                               // in al, dx
		0xc3,                               // ret
		0x66, 0xb8, 0x00, 0x40, 0x00, 0x80, // sel: mov eax, 0x80000000 | slotRandom << 11
		0x88, 0xd8, // mov al, bl
		0x24, 0xfc, // and al, 0xfc
		0xba, 0xf8, 0x0c, // mov dx, 0xcf8
		0x66, 0xef, // out dx, eax
		0x88, 0xda, // mov dl, bl
		0x80, 0xe2, 0x03, // and dl, 3
		0x80, 0xc2, 0xfc, // add dl, 0xfc
		0xb6, 0x0c, // mov dh, 0xc
		0xc3, // ret
	})
}

// logSize is what the logs of a VM's QEMU take.
func logSize(f vmFiles) (size int64) {
	for _, name := range []string{qemulog.Name, qemulog.OldName} {
		if st, err := os.Stat(f.path(name)); err == nil {
			size += st.Size()
		}
	}
	return size
}

// complained is how often QEMU has complained: the writes that it has tried, also the
// ones for which there was no room.
func complained(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "syscw: ")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	must(t, err)
	return n
}

// utter writes to the standard error of a process as if it had done so itself.
func utter(t *testing.T, pid int, line string) {
	t.Helper()
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/2", pid), os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteString(line + "\n")
	must(t, err)
}

// eventually waits for what no event tells.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx := limit(t)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// A guest that makes QEMU complain fills nothing, and slows down only itself.
func TestAGuestCannotFillTheLogOfItsQEMU(t *testing.T) {
	s := newStage(t)
	must(t, os.WriteFile(s.image.Kernel, complainingGuest(), 0o600))
	b := s.open(t)
	made(t, b, s.spec("vm"))
	must(t, b.Start(limit(t), s.spec("vm")))
	files := filesOf(s.layout, "vm")
	pid := status(t, b, "vm").PID
	eventually(t, "QEMU has complained 200,000 times", func() bool { return complained(t, pid) > 200_000 })
	if size := logSize(files); size == 0 || size > 2<<20 {
		t.Errorf("the logs have %d bytes", size)
	}
	if text, err := os.ReadFile(files.path(logFile)); err != nil || !strings.Contains(string(text), "wrong value for queue_enable") {
		t.Errorf("the log does not say what QEMU complains of: %v", err)
	}
	// Everything else goes on.
	must(t, b.Suspend(limit(t), backends.Named("vm")))
	must(t, b.Resume(limit(t), backends.Named("vm")))
	must(t, b.Kill(limit(t), backends.Named("vm")))
}

// The process that writes the log is no part that a VM needs: it may hang or die.
func TestAVMRunsOnWithoutTheWriterOfItsLog(t *testing.T) {
	for name, signal := range map[string]unix.Signal{"stopped": unix.SIGSTOP, "killed": unix.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			must(t, os.WriteFile(s.image.Kernel, complainingGuest(), 0o600))
			b := s.open(t)
			made(t, b, s.spec("vm"))
			must(t, b.Start(limit(t), s.spec("vm")))
			r, err := filesOf(s.layout, "vm").readRecord()
			must(t, err)
			must(t, unix.Kill(r.Run.Log.PID, signal))
			before := complained(t, r.Run.PID)
			eventually(t, "QEMU complains on", func() bool { return complained(t, r.Run.PID) > before+50_000 })
			must(t, b.Suspend(limit(t), backends.Named("vm")))
			must(t, b.Kill(limit(t), backends.Named("vm")))
			if _, err := startTime(r.Run.Log.PID); err == nil {
				t.Error("the writer of the log is left")
			}
		})
	}
}

// The next daemon hears what QEMU says, too, and what it said last.
func TestTheLogOutlivesTheDaemon(t *testing.T) {
	s, b := running(t, usualLimits)
	must(t, b.Close())
	r, err := filesOf(s.layout, "vm").readRecord()
	must(t, err)
	utter(t, r.Run.PID, "while no daemon is running")
	b = s.open(t)
	utter(t, r.Run.PID, "qemu: the last words")
	must(t, unix.Kill(r.Run.PID, unix.SIGKILL))
	await(t, b, inState("crashed"))
	if st := status(t, b, "vm"); st.Reason != "qemu: the last words" {
		t.Errorf("%+v", st)
	}
	text, err := os.ReadFile(filesOf(s.layout, "vm").path(logFile))
	if err != nil || !strings.Contains(string(text), "while no daemon is running\n") {
		t.Errorf("%q, %v", text, err)
	}
	must(t, b.Destroy(limit(t), backends.Named("vm")))
}
