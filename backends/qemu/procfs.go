package qemu

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticks is USER_HZ, in which proc(5) counts start times: 100 on every architecture
// that Go and QEMU's KVM share.
const ticks = 100

// findQEMU looks through the processes for the QEMU of a VM: the one that was told
// to write the VM's pid file. Other users' processes show no command line of use.
func findQEMU(f vmFiles) (pid int, line []string, ok bool) {
	return findProcess(func(_ int, line []string) bool { return argument(line, "-pidfile") == f.path(pidFile) })
}

// findCompanion looks for a process of ours that serves a VM. Where it works tells
// it from that of a VM of the same name in another state directory; that of an
// older nixvmd works elsewhere and has its log open.
func findCompanion(f vmFiles, verb, log string) *companion {
	pid, _, ok := findProcess(func(pid int, line []string) bool {
		if len(line) < 3 || line[1] != verb || line[2] != filepath.Base(f.dir) {
			return false
		}
		for link, want := range map[string]string{"cwd": f.dir, "fd/1": f.path(log)} {
			if at, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, link)); err == nil && at == want {
				return true
			}
		}
		return false
	})
	if !ok {
		return nil
	}
	start, err := startTime(pid)
	if err != nil {
		return nil
	}
	return &companion{PID: pid, Start: start}
}

// findProcess returns the first process of this user that match takes.
func findProcess(match func(pid int, line []string) bool) (pid int, line []string, ok bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, nil, false
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if !isOurs(pid) {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err != nil || len(text) == 0 {
			continue
		}
		line := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
		if match(pid, line) {
			return pid, line, true
		}
	}
	return 0, nil, false
}

// isOurs reports whether a process is this user's.
func isOurs(pid int) bool {
	var st unix.Stat_t
	return unix.Stat("/proc/"+strconv.Itoa(pid), &st) == nil && int(st.Uid) == os.Getuid()
}

// argument is what follows an option on a command line; empty without it.
func argument(line []string, name string) string {
	if all := arguments(line, name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// arguments is what follows each use of an option.
func arguments(line []string, name string) []string {
	var all []string
	for i, word := range line[:max(0, len(line)-1)] {
		if word == name {
			all = append(all, line[i+1])
		}
	}
	return all
}

// option is the value of a key in QEMU's list of options.
func option(list, key string) string {
	for o := range strings.SplitSeq(list, ",") {
		if k, v, ok := strings.Cut(o, "="); ok && k == key {
			return v
		}
	}
	return ""
}

// startedAt is the time of day of a start time in proc(5); now where that cannot be told.
func startedAt(start uint64) time.Time {
	now := time.Now().UTC()
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return now
	}
	first, _, _ := strings.Cut(string(text), " ")
	up, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return now
	}
	return now.Add(-time.Duration((up - float64(start)/ticks) * float64(time.Second))).Truncate(time.Second)
}

// listensOn is the TCP port on which a process listens, 0 if on none. Which
// descriptor it was given the socket as says nothing: Go listens on a copy, and
// closes the one that was handed over when it collects garbage.
func listensOn(pid int) int {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	descriptors, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	sockets := map[string]bool{} // by inode
	for _, d := range descriptors {
		link, err := os.Readlink(filepath.Join(dir, d.Name()))
		if inode, ok := strings.CutPrefix(strings.TrimSuffix(link, "]"), "socket:["); err == nil && ok {
			sockets[inode] = true
		}
	}
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return 0
	}
	const listening = "0A"
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		// proc(5): slot, local address, remote address, state, ..., the tenth is the inode.
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != listening || !sockets[fields[9]] {
			continue
		}
		_, port, _ := strings.Cut(fields[1], ":")
		n, err := strconv.ParseUint(port, 16, 16)
		if err == nil {
			return int(n)
		}
	}
	return 0
}

// bridgeOf is the bridge that the tap device of a QEMU is on. Some word is needed
// where that cannot be told: the VM is on a bridge in any case.
func bridgeOf(pid int) string {
	const otherwise = "unknown"
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fdTap))
	if err != nil {
		return otherwise
	}
	for line := range strings.Lines(string(text)) {
		device, ok := strings.CutPrefix(line, "iff:")
		if !ok {
			continue
		}
		bridge, err := os.Readlink(filepath.Join("/sys/class/net", strings.TrimSpace(device), "brport/bridge"))
		if err == nil {
			return filepath.Base(bridge)
		}
	}
	return otherwise
}
