package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/nixvm/nixvm/sshconfig"
)

// bootLimit is more than a boot takes under emulation on a loaded machine.
const bootLimit = 5 * time.Minute

var createArgs = []string{"--image", "trial", "--profiles", "claude,dev", "--memory", "1024", "--vcpus", "2", "--disk", "8G", "--yes", "--quiet"}

// measureBoot boots with nixvm and without it, in turns, as often as pairs says.
func measureBoot(ctx context.Context, h *home, pairs int) error {
	note("preparing the image and a first VM")
	if err := h.nixvmd(ctx, append([]string{"create", benchVM, "--no-start"}, createArgs...)...); err != nil {
		return err
	}
	state, err := os.ReadFile(filepath.Join(h.dir, "state", "vms", benchVM, "var.qcow2"))
	if err != nil {
		return err
	}
	if err := h.nixvmd(ctx, "start", benchVM, "--quiet"); err != nil {
		return err
	}
	bare, err := copyVM(ctx, h, benchVM)
	if err != nil {
		return err
	}
	bare.state = state
	if err := measureAttached(ctx, h, benchVM); err != nil {
		return err
	}
	if err := h.nixvmd(ctx, "destroy", benchVM, "--confirm", benchVM, "--quiet"); err != nil {
		return err
	}

	var ours, theirs, differences samples
	for i := range pairs {
		var a, b time.Duration
		steps := []func() error{
			func() (err error) { a, err = timeCreate(ctx, h); return err },
			func() (err error) { b, err = bare.boot(ctx); return err },
		}
		if i%2 == 1 {
			steps[0], steps[1] = steps[1], steps[0]
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
		note("pair %d of %d: create %s, bare QEMU %s", i+1, pairs, short(a), short(b))
		ours, theirs, differences = append(ours, a), append(theirs, b), append(differences, a-b)
	}
	head("create to an answering sshd, image cached", "median", "fastest", "slowest")
	row("nixvmd create", short(ours.median()), short(ours.at(0)), short(ours.at(1)))
	row("bare QEMU, same image and command line", short(theirs.median()), short(theirs.at(0)), short(theirs.at(1)))
	row("difference of the pairs", fmt.Sprintf("%+.1f %%", 100*float64(differences.median())/float64(theirs.median())),
		fmt.Sprintf("%+.2f s", differences.at(0).Seconds()), fmt.Sprintf("%+.2f s", differences.at(1).Seconds()))
	return nil
}

// timeCreate: from exec of the verb to its end, which waits for sshd.
func timeCreate(ctx context.Context, h *home) (time.Duration, error) {
	start := time.Now()
	if err := h.nixvmd(ctx, append([]string{"create", benchVM}, createArgs...)...); err != nil {
		return 0, err
	}
	took := time.Since(start)
	return took, h.nixvmd(ctx, "destroy", benchVM, "--confirm", benchVM, "--quiet")
}

// bareVM is a QEMU that nixvm started, copied so that it runs without nixvm.
type bareVM struct {
	dir, backing, format string
	state                []byte // a new state disk, as create makes it
	args                 []string
	address, hostKey     string
}

var (
	wire      = regexp.MustCompile(`^dgram,id=(\w+),local\.`)
	inherited = regexp.MustCompile(`^socket,id=(\w+),.*fd=.*`)
)

// copyVM takes the command line of a running VM. What differs: the sockets that
// nixvm inherits to QEMU go nowhere, the network is QEMU's own, and the CPUs start at once.
func copyVM(ctx context.Context, h *home, name string) (*bareVM, error) {
	dir := filepath.Join(h.dir, "state", "vms", name)
	pid, err := os.ReadFile(filepath.Join(dir, "qemu.pid"))
	if err != nil {
		return nil, err
	}
	cmdline, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "cmdline"))
	if err != nil {
		return nil, err
	}
	vm := &bareVM{dir: filepath.Join(h.dir, "bare")}
	if err := os.MkdirAll(vm.dir, 0o700); err != nil {
		return nil, err
	}
	for arg := range strings.SplitSeq(strings.TrimSuffix(string(cmdline), "\x00"), "\x00") {
		if m := wire.FindStringSubmatch(arg); m != nil {
			if vm.address, err = freeAddress(); err != nil {
				return nil, err
			}
			arg = "user,id=" + m[1] + ",ipv6=off,hostfwd=tcp:" + vm.address + "-:22"
		} else if m := inherited.FindStringSubmatch(arg); m != nil {
			arg = "null,id=" + m[1]
		}
		if arg != "-S" {
			vm.args = append(vm.args, strings.ReplaceAll(arg, dir+"/", vm.dir+"/"))
		}
	}
	if vm.address == "" {
		return nil, fmt.Errorf("the command line of QEMU has no network that can be replaced: %q", cmdline)
	}
	hostKey, err := os.ReadFile(filepath.Join(h.dir, "data", "machines", name, "ssh_host_ed25519_key.pub"))
	if err != nil {
		return nil, err
	}
	vm.hostKey = string(hostKey)
	identity, err := os.ReadFile(filepath.Join(dir, "identity.iso"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(vm.dir, "identity.iso"), identity, 0o600); err != nil {
		return nil, err
	}
	info, err := exec.CommandContext(ctx, "qemu-img", "info", "-U", "--output=json", filepath.Join(dir, "boot.qcow2")).Output()
	if err != nil {
		return nil, err
	}
	var image struct {
		Backing string `json:"full-backing-filename"`
		Format  string `json:"backing-filename-format"`
	}
	if err := json.Unmarshal(info, &image); err != nil {
		return nil, err
	}
	vm.backing, vm.format = image.Backing, image.Format
	return vm, nil
}

// freeAddress is one on which no process listens now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// boot makes the disks anew, and times QEMU from exec to the answer of sshd, which
// is waited for as nixvm does it: what differs is nixvm, not the way to look.
func (vm *bareVM) boot(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	overlay := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", vm.backing, "-F", vm.format, filepath.Join(vm.dir, "boot.qcow2"))
	if out, err := overlay.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("qemu-img: %w: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(vm.dir, "var.qcow2"), vm.state, 0o600); err != nil {
		return 0, err
	}
	start := time.Now()
	qemu := exec.CommandContext(ctx, vm.args[0], vm.args[1:]...)
	qemu.Stderr = os.Stderr
	if err := qemu.Start(); err != nil {
		return 0, err
	}
	err := sshconfig.WaitReady(ctx, sshconfig.WaitOptions{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", vm.address)
		},
		HostKey: vm.hostKey,
	})
	took := time.Since(start)
	_ = qemu.Process.Signal(syscall.SIGKILL)
	_ = qemu.Wait() // killed
	return took, err
}
