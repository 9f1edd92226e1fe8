package sshconfig

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Opened is a socket of this host that leads into a guest through a shared
// connection: `ssh -L` and `ssh -D` on a live master open it in the master, which
// outlives the client that asked.
type Opened struct {
	Machine string
	Alias   string // the name that the master was made by
	Account string // in the guest; empty: a connection of a version that had one for all
	Listen  string // "127.0.0.1:8080", or the path of a socket
	PID     int    // of the master
}

// Opened lists the sockets on which the masters of these machines listen. It asks
// the kernel, not the masters: one that hangs has them too, and its control socket
// would say nothing of them anyway.
func (c *Config) Opened(machines ...string) ([]Opened, error) {
	unix, err := unixListeners("/proc/net/unix")
	if err != nil {
		return nil, err
	}
	masters := map[string]Opened{} // by the inode of the control socket
	for inode, path := range unix {
		if o, ok := c.masterAt(path, machines); ok {
			masters[inode] = o
		}
	}
	if len(masters) == 0 {
		return nil, nil
	}
	listeners := map[string]string{}
	for inode, path := range unix {
		if filepath.Dir(path) != c.opts.Layout.ControlDir() {
			listeners[inode] = path
		}
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if err := tcpListeners(table, listeners); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return heldBy(masters, listeners)
}

// masterAt tells whose control socket lies at a path. ssh binds it with a suffix of
// 17 characters and renames it then, and the kernel keeps the first name.
func (c *Config) masterAt(path string, machines []string) (Opened, bool) {
	for _, m := range machines {
		a := c.Aliases(m)
		for _, alias := range []string{a.User, a.Admin} {
			rest, ours := strings.CutPrefix(path, c.opts.Layout.HostControlSocket(alias))
			if !ours || rest != "" && rest[0] != '-' && rest[0] != '.' {
				continue
			}
			const suffix = 17
			if n := len(rest) - suffix; n >= 0 && rest[n] == '.' {
				rest = rest[:n]
			}
			return Opened{Machine: m, Alias: alias, Account: strings.TrimPrefix(rest, "-")}, true
		}
	}
	return Opened{}, false
}

// heldBy finds the processes that have a control socket, and what else they listen on.
func heldBy(masters map[string]Opened, listeners map[string]string) ([]Opened, error) {
	processes, err := filepath.Glob("/proc/[0-9]*/fd")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []Opened
	for _, dir := range processes {
		inodes := socketsOf(dir)
		i := slices.IndexFunc(inodes, func(inode string) bool { _, ok := masters[inode]; return ok })
		if i < 0 {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		for _, inode := range inodes {
			if address, ok := listeners[inode]; ok {
				o := masters[inodes[i]]
				o.Listen, o.PID = address, pid
				all = append(all, o)
			}
		}
	}
	slices.SortFunc(all, func(a, b Opened) int {
		return strings.Compare(a.Machine+" "+a.Listen+" "+a.Account, b.Machine+" "+b.Listen+" "+b.Account)
	})
	return slices.CompactFunc(all, func(a, b Opened) bool { return a.Machine == b.Machine && a.Listen == b.Listen }), nil
}

// socketsOf lists the inodes of a process's sockets; none of one that is gone, or
// another user's.
func socketsOf(fds string) []string {
	entries, err := os.ReadDir(fds)
	if err != nil {
		return nil
	}
	var inodes []string
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(fds, e.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok && err == nil {
			inodes = append(inodes, strings.TrimSuffix(inode, "]"))
		}
	}
	return inodes
}

// unixListeners reads /proc/net/unix (proc(5)): the paths of listening sockets by
// inode. Abstract ones have no path that a user knows.
func unixListeners(table string) (map[string]string, error) {
	const acceptsConnections = 1 << 16 // __SO_ACCEPTCON
	all := map[string]string{}
	err := eachLine(table, func(line string) {
		w := strings.SplitN(strings.Join(strings.Fields(line), " "), " ", 8)
		if len(w) < 8 || !strings.HasPrefix(w[7], "/") {
			return
		}
		if flags, err := strconv.ParseUint(w[3], 16, 32); err == nil && flags&acceptsConnections != 0 {
			all[w[6]] = w[7]
		}
	})
	return all, err
}

// tcpListeners reads /proc/net/tcp or tcp6: the addresses of listening sockets.
func tcpListeners(table string, into map[string]string) error {
	const listening = "0A"
	return eachLine(table, func(line string) {
		w := strings.Fields(line)
		if len(w) < 10 || w[3] != listening {
			return
		}
		if address, err := kernelAddress(w[1]); err == nil {
			into[w[9]] = address
		}
	})
}

// kernelAddress reads "0100007F:1F90": words of four bytes in the host's order,
// which is little-endian on everything that nixvm runs on.
func kernelAddress(s string) (string, error) {
	host, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw)%4 != 0 {
		return "", fmt.Errorf("%q is not an address", s)
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	address, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return "", fmt.Errorf("%q is not an address", s)
	}
	return net.JoinHostPort(address.String(), strconv.FormatUint(n, 10)), nil
}

func eachLine(file string, f func(string)) error {
	r, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read the list of sockets: %w", err)
	}
	defer r.Close()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f(lines.Text())
	}
	return lines.Err()
}
