package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/backends"
)

// sessionDaemons serve a session: the one for QEMU alone, and the one for everything.
var sessionDaemons = []string{"virtqemud", "libvirtd"}

// idleLimit is how long, in seconds, a session's daemon stays without clients
// and running VMs; libvirt's own clients take the same.
const idleLimit = "120"

// outputDelay is how long what a daemon's start has to say is waited for once it
// has ended.
const outputDelay = 500 * time.Millisecond

// dialSession starts the user's libvirtd when none runs, as libvirt's own
// clients do.
func (t target) dialSession(ctx context.Context) (net.Conn, error) {
	conn, err := t.dialUnix(ctx)
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ECONNREFUSED) {
		return conn, err
	}
	program := sessionDaemon()
	if program == "" {
		return nil, err
	}
	// It ends its start when its socket answers, and goes on by itself. What goes
	// on may keep the output open.
	cmd := exec.CommandContext(ctx, program, "--daemon", "--timeout", idleLimit)
	cmd.WaitDelay = outputDelay
	if out, err := cmd.CombinedOutput(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return nil, fmt.Errorf("start %s: %w: %s", program, err, backends.OneLine(string(out)))
	}
	return t.dialUnix(ctx)
}

// sessionDaemon finds the program, also where a user's PATH does not lead.
func sessionDaemon() string {
	for _, name := range sessionDaemons {
		for _, candidate := range []string{name, filepath.Join("/usr/sbin", name), filepath.Join("/run/current-system/sw/bin", name)} {
			if path, err := exec.LookPath(candidate); err == nil {
				return path
			}
		}
	}
	return ""
}
