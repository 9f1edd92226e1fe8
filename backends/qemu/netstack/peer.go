package netstack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
)

// fromOwner reports whether a connection on the loopback comes from this user, or
// from root, who could take everything anyway. One whose client has gone already has
// no user any more, and is not the owner's.
func fromOwner(conn net.Conn) bool {
	uid, ok := peerUser(conn)
	return ok && (uid == os.Getuid() || uid == 0)
}

// peerUser is the user whose process has the other end of a connection on the
// loopback, as the kernel's tables say (proc(5), /proc/net/tcp). An IPv4 connection
// of an IPv6 socket is in the other table.
func peerUser(conn net.Conn) (uid int, ok bool) {
	theirs, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	ours, oerr := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil || oerr != nil || !theirs.Addr().Is4() || !ours.Addr().Is4() {
		return 0, false
	}
	for file, prefix := range map[string]string{"/proc/self/net/tcp": "", "/proc/self/net/tcp6": "0000000000000000FFFF0000"} {
		table, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if uid, ok = userOf(table, prefix+inTable(theirs)+" "+prefix+inTable(ours)); ok {
			return uid, true
		}
	}
	return 0, false
}

// inTable is how the tables write an IPv4 address: as a number of this machine.
func inTable(a netip.AddrPort) string {
	ip := a.Addr().As4()
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), a.Port())
}

// userOf finds a pair of addresses, local and remote, in a table. A socket that
// belongs to no process has no inode: whose it was is not known.
func userOf(table []byte, pair string) (uid int, ok bool) {
	for line := range bytes.Lines(table) {
		if !bytes.Contains(line, []byte(" "+pair+" ")) {
			continue
		}
		// slot, local, remote, state, queues, timer, retransmissions, user, timeout, inode
		fields := bytes.Fields(line)
		if len(fields) < 10 || string(fields[9]) == "0" {
			return 0, false
		}
		uid, err := strconv.Atoi(string(fields[7]))
		return uid, err == nil
	}
	return 0, false
}
