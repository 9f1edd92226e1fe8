package qemu

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

const (
	// usageLimit is what the network process gets to tell its usage.
	usageLimit = time.Second
	// maxUsage bounds what is read of it, in bytes.
	maxUsage = 64 << 10
)

// NetworkUsage asks the VM's network process; see backends.NetworkReporter.
func (b *Backend) NetworkUsage(ctx context.Context, ref backends.Ref) (backends.NetworkUsage, error) {
	var u backends.NetworkUsage
	inst, err := b.running(ref)
	if err != nil {
		return u, err
	}
	if inst.run.Bridge != "" {
		return u, problem.New(problem.Unsupported, "VM %s is on the bridge %s, where nixvm does not manage its network", ref.Name, inst.run.Bridge)
	}
	ctx, cancel := context.WithTimeout(ctx, usageLimit)
	defer cancel()
	conn, err := dialSocket(ctx, inst.sockets.path(networkSocket))
	if err == nil {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		err = json.NewDecoder(io.LimitReader(conn, maxUsage)).Decode(&u)
		stop()
		conn.Close()
	}
	if err != nil {
		return u, problem.New(problem.VMNotReady, "the network process of VM %s does not report its connections: %w", ref.Name, err).
			WithHint("a VM that was started by an older nixvmd does so after its next start").Retry()
	}
	if u.Last != nil {
		u.Last.Protocol, u.Last.To = backends.OneLine(u.Last.Protocol), backends.OneLine(u.Last.To)
	}
	return u, nil
}

var _ backends.NetworkReporter = (*Backend)(nil)
