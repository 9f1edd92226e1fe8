package netstack

import (
	"encoding/json"
	"net"
	"time"

	"github.com/nixvm/nixvm/backends"
)

// tellUsage answers whoever connects: the daemon, since the socket is in a directory
// of its own. One that does not read is not waited for.
func (n *network) tellUsage(l net.Listener) {
	n.accept(l, func(conn net.Conn) {
		defer conn.Close()
		if conn.SetWriteDeadline(time.Now().Add(tellLimit)) == nil {
			_ = json.NewEncoder(conn).Encode(n.usage()) // who asked sees that it is cut
		}
	})
}

func (n *network) usage() backends.NetworkUsage {
	u := backends.NetworkUsage{Out: n.out.use(), In: n.in.use(), UDP: backends.Use{Now: n.udp.len(), Limit: maxUDP}}
	u.Refused, u.Last = n.log.count()
	return u
}

func (s slots) use() backends.Use { return backends.Use{Now: len(s), Limit: cap(s)} }

func (t *udpFlows) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}
