package testproc

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// starts is set in the process that is killed: what it starts.
const starts = "NIXVM_TEST_STARTS"

// TestStarts is the test process that is killed. It prints the numbers of the
// processes that it has started, and waits for its end.
func TestStarts(t *testing.T) {
	dir := os.Getenv("NIXVM_TEST_DIR")
	var pids []int
	background := func(env string, args ...string) {
		cmd := exec.Command("sleep", "infinity")
		cmd.Args, cmd.Env = append(args, "infinity"), []string{env}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, cmd.Process.Pid)
	}
	switch os.Getenv(starts) {
	case "":
		t.Skip("it is run by the tests below")
	case "process":
		pids = append(pids, Start(t, exec.Command("sleep", "infinity")).PID())
	case "guarded":
		over, err := Guard(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer over()
		background("NIXVM_HOME="+dir, "sleep")
		background("A=B", dir+"/qemu")
	}
	fmt.Println("started:", strings.Trim(fmt.Sprint(pids), "[]"))
	select {}
}

// killed runs TestStarts, kills it, and returns the processes that it has started.
func killed(t *testing.T, what string) (fds []int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestStarts$")
	cmd.Env = append(os.Environ(), starts+"="+what, "NIXVM_TEST_DIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := Start(t, cmd)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		list, ok := strings.CutPrefix(lines.Text(), "started: ")
		if !ok {
			continue
		}
		for _, word := range strings.Fields(list) {
			var pid int
			fmt.Sscan(word, &pid)
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				t.Fatalf("process %s: %v", word, err)
			}
			t.Cleanup(func() {
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
				_ = unix.Close(fd)
			})
			fds = append(fds, fd)
		}
		break
	}
	if len(fds) == 0 {
		t.Fatal("it has started nothing")
	}
	p.Kill()
	return fds
}

// ended reports whether a process ends within the limit.
func ended(t *testing.T, fd int, limit time.Duration) bool {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, max(0, int(time.Until(deadline).Milliseconds())))
		if err != unix.EINTR {
			return err == nil && n > 0
		}
	}
}

func TestAProcessEndsWithTheTestProcess(t *testing.T) {
	for _, fd := range killed(t, "process") {
		if !ended(t, fd, time.Minute) {
			t.Error("it lives on")
		}
	}
}

func TestWhatBelongsToAGuardedDirectoryEndsWithTheTestProcess(t *testing.T) {
	for i, fd := range killed(t, "guarded") {
		if !ended(t, fd, time.Minute) {
			t.Errorf("%d lives on", i)
		}
	}
}

func TestOnlyWhatBelongsToTheDirectoryIsKilled(t *testing.T) {
	dir := t.TempDir()
	own := map[*Process]bool{}
	start := func(env string, belongs bool, args ...string) {
		cmd := exec.Command("sleep", "infinity")
		cmd.Args, cmd.Env = append(args, "infinity"), []string{env}
		own[Start(t, cmd)] = belongs
	}
	start("NIXVM_HOME="+dir, true, "sleep")
	start("A=B", true, dir+"/qemu")
	start("NIXVM_HOME="+dir+"1", false, "sleep")
	start("NIXVM_HOME="+dir+"/a", false, "sleep")
	start("A=B", false, dir+"1/qemu")
	guard := func(words string) {
		cmd := exec.Command("sh", "-c", guardScript)
		cmd.Stdin = strings.NewReader(words)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%v: %s", err, out)
		}
	}
	alive := func(p *Process) bool {
		select {
		case <-p.Ended():
			return false
		default:
			return true
		}
	}
	guard(dir + "\nover\n")
	for p := range own {
		if !alive(p) {
			t.Error("one is killed though the test has tidied up")
		}
	}
	guard(dir + "\n")
	for p, belongs := range own {
		if belongs {
			<-p.Ended()
		} else if !alive(p) {
			t.Errorf("%v is killed", p.cmd)
		}
	}
}

func TestAProcessEndsWithItsTest(t *testing.T) {
	var p *Process
	t.Run("one", func(t *testing.T) { p = Start(t, exec.Command("sleep", "infinity")) })
	select {
	case <-p.Ended():
	default:
		t.Error("it lives on")
	}
	if p.Wait() == nil {
		t.Error("it was not killed")
	}
}

func TestOnlyAPathOfOneLineIsGuarded(t *testing.T) {
	for _, dir := range []string{"", "x", "/a\n/b", `/a\b`} {
		if _, err := Guard(dir); err == nil {
			t.Errorf("%q is guarded", dir)
		}
	}
}
