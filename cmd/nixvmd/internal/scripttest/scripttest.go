// Package scripttest holds what the testscripts of nixvmd share: a place of its
// own for each script, and the commands that look at what nixvmd did.
//
//	code EXIT PROGRAM [ARGUMENT...]   run it and check its exit code
//	field PATH REGEXP                 a field of the JSON on the standard output
//	tree FILE                         list what lies on the disk, to be compared
//	rmimages                          forget the images
//	staleSocket PATH                  a socket without a listener
//	fill PATH BYTES                   a file of that size
//	killDaemon                        kill -9 of the script's daemon
//
// The environment of a script has NIXVM_HOME and NIXVM_SSH_CONFIG of its own,
// BIN (the directory of nixvmd), IMAGE (a disk that cannot boot) and NEWLINE (a
// name with a line end in it).
package scripttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/testproc"
)

// Params runs the scripts of a directory. The program nixvmd is on the PATH.
func Params(dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               Setup,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":        code,
			"field":       field,
			"tree":        tree,
			"rmimages":    rmimages,
			"staleSocket": staleSocket,
			"fill":        fill,
			"killDaemon":  killDaemon,
			"pvesim":      startPVE,
		},
	}
}

// Setup gives a script its own place and takes care that its daemon ends, and with a
// test process that is killed its VMs too.
func Setup(env *testscript.Env) error {
	// Short, because unix sockets lie below it.
	home, err := os.MkdirTemp("", "nv")
	if err != nil {
		return err
	}
	env.Setenv("NIXVM_HOME", home)
	env.Setenv("NIXVM_SSH_CONFIG", filepath.Join(env.WorkDir, "ssh_config"))
	env.Setenv("NIXVM_ACCEL", "tcg")
	env.Setenv("TERM", "dumb")
	env.Setenv("NEWLINE", "demo\nHost evil")
	program, err := exec.LookPath("nixvmd")
	if err != nil {
		return err
	}
	env.Setenv("BIN", filepath.Dir(program))
	// A disk that looks like one that boots: it has the name of a partition table.
	image, disk := filepath.Join(env.WorkDir, "disk.raw"), make([]byte, 4<<20)
	copy(disk[512:], "EFI PART")
	if err := os.WriteFile(image, disk, 0o600); err != nil {
		return err
	}
	env.Setenv("IMAGE", image)
	vars := slices.Clone(env.Vars)
	over, err := testproc.Guard(home)
	if err != nil {
		return err
	}
	env.Defer(func() {
		defer over()
		// VMs outlive their daemon: those of a script that failed would run for ever.
		machines, _ := filepath.Glob(filepath.Join(home, "data", "machines", "*"))
		for _, dir := range machines {
			name := filepath.Base(dir)
			_ = cleanUp(program, vars, "purge", name, "--confirm", name)
		}
		if err := cleanUp(program, vars, "shutdown"); err != nil {
			env.T().Log(err.Error())
		}
		os.RemoveAll(home)
	})
	return nil
}

// cleanUpLimit is for a nixvmd that a script has left in any state.
const cleanUpLimit = time.Minute

// cleanUp runs nixvmd after a script.
func cleanUp(program string, vars []string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = vars
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nixvmd %s: %w: %s", args[0], err, out)
	}
	return nil
}

// code checks the exit code of a command: code 2 nixvmd create a/b.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code EXIT PROGRAM [ARGUMENT...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			ts.Fatalf("ended by %s", status.Signal())
		}
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// field checks one field of the JSON on the standard output:
// field error.code size.invalid. Lists take a number: machines.0.name.
func field(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: field PATH REGEXP")
	}
	var value any
	text := ts.ReadFile("stdout")
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		ts.Fatalf("the standard output is not one JSON value: %v\n%s", err, text)
	}
	for name := range strings.SplitSeq(args[0], ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(v) {
				ts.Fatalf("%s: no element %s among %d", args[0], name, len(v))
			}
			value = v[i]
		default:
			ts.Fatalf("%s: %s is not in an object", args[0], name)
		}
	}
	got := fmt.Sprint(value)
	if matched := regexp.MustCompile("^(?:" + args[1] + ")$").MatchString(got); matched == neg {
		ts.Fatalf("%s is %q", args[0], got)
	}
}

// tree writes what lies below $NIXVM_HOME, and the SSH configuration, to a file:
// two of them are compared to see that nothing was left behind. What a daemon
// alone makes (its socket, log, locks and key) does not count.
func tree(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: tree FILE")
	}
	var lines []string
	add := func(root string) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(filepath.Dir(root), path)
			switch {
			case os.IsNotExist(err):
				return nil
			case err != nil:
				return err
			case d.IsDir():
				lines = append(lines, rel+"/")
				return nil
			case !d.Type().IsRegular() || ownFile(rel):
				return nil
			}
			content, err := os.ReadFile(path)
			sum := sha256.Sum256(content)
			lines = append(lines, rel+" "+hex.EncodeToString(sum[:6]))
			return err
		})
		ts.Check(err)
	}
	add(ts.Getenv("NIXVM_HOME"))
	add(ts.Getenv("NIXVM_SSH_CONFIG"))
	slices.Sort(lines)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines, "\n")+"\n"), 0o600))
}

// ownFile reports whether a file is the daemon's, in any test: the
// copy that it keeps of the user's SSH configuration as it found it, too.
func ownFile(rel string) bool {
	base := filepath.Base(rel)
	if strings.Contains(rel, "/state/ssh/") && (base == "state.json" || strings.HasSuffix(base, ".bak")) {
		return true
	}
	return strings.HasSuffix(base, "lock") || strings.Contains(rel, "/log/") || strings.HasPrefix(base, "id_ed25519") || base == "qemu-accel.json"
}

// rmimages removes the images: they are kept for the next create, on purpose.
func rmimages(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: rmimages")
	}
	images := filepath.Join(ts.Getenv("NIXVM_HOME"), "data", "images")
	ts.Check(os.RemoveAll(images))
	ts.Check(os.Mkdir(images, 0o700))
}

// fill makes a file of so many bytes.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fill PATH BYTES")
	}
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(args[0], bytes.Repeat([]byte("x"), size), 0o600))
}

// staleSocket makes a socket without a listener.
func staleSocket(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: staleSocket PATH")
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: args[0], Net: "unix"})
	ts.Check(err)
	listener.SetUnlinkOnClose(false)
	ts.Check(listener.Close())
}

// killDaemon kills the script's daemon, as a crash or the kernel would, and
// waits until it is gone.
func killDaemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: killDaemon")
	}
	ts.Check(ts.Exec("nixvmd", "version", "--json"))
	var v struct {
		Daemon *struct {
			PID int `json:"pid"`
		} `json:"daemon"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	if v.Daemon == nil {
		ts.Fatalf("the daemon is not running")
	}
	fd, err := unix.PidfdOpen(v.Daemon.PID, 0)
	ts.Check(err)
	defer unix.Close(fd)
	ts.Check(unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0))
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		ts.Check(err)
		if n == 0 {
			ts.Fatalf("the daemon does not end")
		}
		return
	}
}
