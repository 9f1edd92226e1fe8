package libvirt

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirtxml"
)

// host asks libvirtd what its host can do, once for a connection: the answer is
// long, and the first time libvirtd has to ask every QEMU that is installed.
func (b *Backend) host(ctx context.Context) (libvirtxml.Caps, error) {
	c, err := b.link.get(ctx)
	if err != nil {
		return libvirtxml.Caps{}, err
	}
	if err := c.asking.Lock(ctx); err != nil {
		return libvirtxml.Caps{}, err
	}
	defer c.asking.Unlock()
	if c.caps != nil {
		return *c.caps, nil
	}
	var caps libvirtxml.Caps
	text, err := call(ctx, c, b.limits.start, (*golibvirt.Libvirt).ConnectGetCapabilities)
	if err == nil {
		err = caps.Unmarshal(text)
	}
	if err == nil {
		c.caps = &caps
		b.noteIOMMU(caps)
	}
	return caps, err
}

// runsAs is the user that QEMU runs as, on this host: us, so that our files stay
// ours; but with root's rights only what root started itself, so libvirt's own
// user there.
func (b *Backend) runsAs(ctx context.Context) (uid, gid int, err error) {
	if uid := os.Getuid(); uid != 0 {
		return uid, os.Getgid(), nil
	}
	if b.target.Session {
		return ownerOfSocket(b.target)
	}
	caps, err := b.host(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, m := range caps.Host.SecModel {
		for _, l := range m.Labels {
			if m.Name == "dac" && l.Type == "qemu" {
				return parseLabel(l.Value)
			}
		}
	}
	return 0, 0, nil
}

// parseLabel reads "+64055:+64055".
func parseLabel(label string) (uid, gid int, err error) {
	u, g, ok := strings.Cut(label, ":")
	if !ok {
		return 0, 0, fmt.Errorf("libvirt's label %q is not one of a user and a group", label)
	}
	if uid, err = strconv.Atoi(strings.TrimPrefix(u, "+")); err == nil {
		gid, err = strconv.Atoi(strings.TrimPrefix(g, "+"))
	}
	return uid, gid, err
}

// ownerOfSocket is whose session it is.
func ownerOfSocket(t target) (uid, gid int, err error) {
	for _, path := range t.sockets() {
		var st unix.Stat_t
		if err = unix.Stat(path, &st); err == nil {
			return int(st.Uid), int(st.Gid), nil
		}
	}
	return 0, 0, fmt.Errorf("the socket of the session: %w", err)
}

// pidOf is the process of a running domain of this host, 0 if unknown.
func (b *Backend) pidOf(name string) int {
	text, err := os.ReadFile(b.pidFile(name))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// beganAt is when a domain was started, by any client: libvirt writes the file
// then. On another host it is now, which is when it was first seen.
func (b *Backend) beganAt(name string) time.Time {
	if st, err := os.Stat(b.pidFile(name)); err == nil {
		return st.ModTime().UTC()
	}
	return time.Now().UTC()
}

// pidFile is where libvirt keeps the process of a running domain, "" when there
// is none on this host.
func (b *Backend) pidFile(name string) string {
	if !b.target.local() {
		return ""
	}
	dir := "/run/libvirt/qemu"
	if b.target.Session {
		dir = filepath.Join(sessionRuntime(), "qemu/run")
	}
	if b.target.Socket != "" {
		dir = filepath.Join(filepath.Dir(b.target.Socket), strings.TrimPrefix(strings.TrimPrefix(dir, "/run/libvirt/"), sessionRuntime()+"/"))
	}
	return filepath.Join(dir, name+".pid")
}
