package netstack

import (
	"context"
	"encoding/json"
	"net"
	"time"

	"github.com/nixvm/nixvm/backends"
)

// tellUsage answers each client: the daemon, since the socket is in a directory
// of its own. One that does not read is not waited for, and has the same time to send
// another policy.
func (n *network) tellUsage(l net.Listener) {
	n.accept(l, func(conn net.Conn) {
		defer conn.Close()
		stop := context.AfterFunc(n.ctx, func() { conn.Close() })
		defer stop()
		if conn.SetDeadline(time.Now().Add(tellLimit)) == nil && json.NewEncoder(conn).Encode(n.usage()) == nil {
			n.takePolicy(conn)
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
