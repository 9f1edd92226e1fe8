package host

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// probeMarker is what user space of the probe says on the serial console.
const probeMarker = "nixvm-probe: user space runs"

// probe boots a kernel with a user space of our own making under an accelerator
// and reports whether that user space spoke within the limit.
func (a *Accelerator) probe(ctx context.Context, accel, kernel string, limit time.Duration) (bool, error) {
	program, err := a.program(ctx)
	if err != nil {
		return false, err
	}
	initrd, err := os.CreateTemp("", "nixvm-probe-*.cpio")
	if err != nil {
		return false, fmt.Errorf("probe of %s: %w", accel, err)
	}
	defer os.Remove(initrd.Name())
	defer initrd.Close()
	if _, err := initrd.Write(probeInitrd()); err != nil {
		return false, fmt.Errorf("probe of %s: %w", accel, err)
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	args := append(Args(accel),
		"-machine", "q35", "-no-user-config", "-nodefaults", "-display", "none", "-m", "256", "-no-reboot",
		"-serial", "stdio", "-kernel", kernel, "-initrd", initrd.Name(),
		"-append", "console=ttyS0 quiet panic=-1 rdinit=/init")
	cmd := exec.CommandContext(limited, program, args...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	spoke := speaks(cmd)
	return spoke, ctx.Err()
}

// speaks runs the probe until the marker appears or it ends, and leaves no process.
func speaks(cmd *exec.Cmd) bool {
	out, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		return false
	}
	found := false
	for lines := bufio.NewScanner(out); !found && lines.Scan(); {
		found = strings.Contains(lines.Text(), probeMarker)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return found
}

// probeInitrd is a cpio archive ("newc", Documentation/driver-api/early-userspace/
// buffer-format.rst in Linux) with the console device and /init.
func probeInitrd() []byte {
	var a bytes.Buffer
	cpioEntry(&a, "dev", 0o040755, 0, 0, nil)
	cpioEntry(&a, "dev/console", 0o020600, 5, 1, nil)
	cpioEntry(&a, "init", 0o100755, 0, 0, probeInit())
	cpioEntry(&a, "TRAILER!!!", 0, 0, 0, nil)
	return a.Bytes()
}

func cpioEntry(a *bytes.Buffer, name string, mode, major, minor uint32, data []byte) {
	pad := func() {
		for a.Len()%4 != 0 {
			a.WriteByte(0)
		}
	}
	// ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
	fmt.Fprintf(a, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.Len(), mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0)
	a.WriteString(name + "\x00")
	pad()
	a.Write(data)
	pad()
}

// probeInit is a static x86_64 ELF executable: one segment with a program that writes the
// marker to standard output (the kernel opens /dev/console for init) and then
// waits to be killed.
func probeInit() []byte {
	const (
		base   = 0x400000
		header = 64 + 56 // ELF header and one program header
	)
	message := "\n" + probeMarker + "\n"
	code := []byte{
		0xb8, 1, 0, 0, 0, // mov eax, 1 (write)
		0xbf, 1, 0, 0, 0, // mov edi, 1 (standard output)
		0x48, 0x8d, 0x35, 16, 0, 0, 0, // lea rsi, [rip+16]: the message, after this code
		0xba, byte(len(message)), 0, 0, 0, // mov edx, length
		0x0f, 0x05, // syscall
		0xb8, 34, 0, 0, 0, // mov eax, 34 (pause)
		0x0f, 0x05, // syscall
		0xeb, 0xf7, // jmp to the second mov eax
	}
	code = append(code, message...)
	var f bytes.Buffer
	put := func(v ...any) {
		for _, x := range v {
			// Fixed-size values into memory: it cannot fail.
			_ = binary.Write(&f, binary.LittleEndian, x)
		}
	}
	put([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	put(uint16(2), uint16(62), uint32(1), uint64(base+header), uint64(64), uint64(0), uint32(0),
		uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0))
	size := uint64(header + len(code))
	put(uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x1000))
	f.Write(code)
	return f.Bytes()
}

// Args are the arguments of QEMU that choose the accelerator and the best CPU that it offers.
func Args(accel string) []string {
	if accel == KVM {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", "tcg,thread=multi", "-cpu", "max"}
}
