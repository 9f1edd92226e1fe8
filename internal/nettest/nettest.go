// Package nettest gives tests networks of their own, so that what tries
// forbidden addresses cannot send a packet anywhere, and hears what arrives there.
package nettest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/testproc"
)

const insideVariable = "NIXVM_TEST_IN_NAMESPACE"

// Inside runs the calling test again in a process of its own that has a network
// namespace with nothing but a loopback: neither it, nor QEMU, nor the guest can
// send a packet anywhere. It reports true in that process. As a plain user it
// needs a user namespace.
func Inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		return true
	}
	args := []string{"--net", "--mount", "--kill-child"}
	if os.Getuid() != 0 {
		args = append(args, "--user", "--map-root-user")
	}
	for program, pkg := range map[string]string{"unshare": "util-linux", "ip": "iproute2"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("this test needs %s\n  sudo apt-get install %s", program, pkg)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", append(args, self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=15m")...)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := testproc.Start(t, cmd).Wait(); err != nil {
		t.Fatalf("in a network namespace: %v\n%s", err, &out)
	}
	t.Logf("in a network namespace:\n%s", &out)
	return false
}

// IP runs ip(8).
func IP(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
}

// Add makes another namespace for the rest of the test, which must be [Inside],
// and returns its path, for [In] and for `ip link add ... netns PATH`.
func Add(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "net")
	err := os.WriteFile(path, nil, 0o600)
	if err == nil {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // as in In
			err := unix.Unshare(unix.CLONE_NEWNET)
			if err == nil {
				err = unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
			}
			done <- err
		}()
		err = <-done
	}
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return path
}

// In calls f in another namespace, which path names. Sockets that f opens, from
// its own goroutine, stay there.
func In(path string, f func()) error {
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	done := make(chan error)
	go func() {
		// Never unlocked: the thread is in the wrong network, and ends with the goroutine.
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the network %s: %w", path, err)
			return
		}
		f()
		done <- nil
	}()
	return <-done
}
