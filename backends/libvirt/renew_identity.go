package libvirt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/renew"
)

// RenewIdentity gives a running guest another identity; see backends.IdentityRenewer.
func (b *Backend) RenewIdentity(ctx context.Context, ref backends.Ref, id backends.Identity) (pending []string, err error) {
	d, release, err := b.beginRunning(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer release()
	if !d.agent {
		return nil, backends.NotApplied(ref.Name, "its guest agent is not running")
	}
	talk := func(_ context.Context, f func(renew.Agent) error) error { return f(guestAgent{b, d}) }
	pending, err = renew.Identity(ctx, ref.Name, b.storage.medium(ref.Name), talk, id)
	if err != nil {
		return nil, err
	}
	b.log.Info("the guest has applied a new identity", "vm", ref.Name, "generation", id.Generation, "pending", fmt.Sprint(pending))
	return pending, nil
}

// guestAgent sends raw requests to the agent of a guest.
type guestAgent struct {
	b *Backend
	d domain
}

// Execute implements renew.Agent.
func (a guestAgent) Execute(ctx context.Context, command string, arguments, out any) error {
	request, err := json.Marshal(map[string]any{"execute": command, "arguments": arguments})
	if err != nil {
		return err
	}
	limit := a.b.limits.agent
	answer, err := guest(ctx, a.b, a.d, limit, func(l *golibvirt.Libvirt) (golibvirt.OptString, error) {
		return l.QEMUDomainAgentCommand(a.d.dom, string(request), int32(limit/time.Second), 0)
	})
	if err != nil {
		return err
	}
	if len(answer) == 0 {
		return fmt.Errorf("guest agent, %s: no answer", command)
	}
	var value struct {
		Return json.RawMessage `json:"return"`
	}
	if err := json.Unmarshal([]byte(answer[0]), &value); err != nil {
		return fmt.Errorf("guest agent, %s: %w", command, err)
	}
	if err := json.Unmarshal(value.Return, out); err != nil {
		return fmt.Errorf("guest agent, %s: %w", command, err)
	}
	return nil
}

func (s *localStorage) medium(name string) renew.Medium {
	return renew.File(s.path(name, identityFile))
}

func (s *poolStorage) medium(name string) renew.Medium {
	return volumeMedium{s, s.prefix(name) + "identity"}
}

// volumeMedium is a medium that is a volume of a pool.
type volumeMedium struct {
	s    *poolStorage
	name string
}

func (m volumeMedium) find(ctx context.Context) (golibvirt.StorageVol, int64, error) {
	p, err := m.s.pool(ctx, nil)
	if err != nil {
		return golibvirt.StorageVol{}, 0, err
	}
	v, ok, err := m.s.volume(ctx, p, m.name)
	if err == nil && !ok {
		err = fmt.Errorf("the pool %s has no volume %s", m.s.name, m.name)
	}
	if err != nil {
		return v, 0, err
	}
	size, err := m.s.capacity(ctx, v)
	return v, size, err
}

// Read implements renew.Medium.
func (m volumeMedium) Read(ctx context.Context) ([]byte, error) {
	v, size, err := m.find(ctx)
	if err != nil {
		return nil, err
	}
	return m.s.fetch(ctx, v, size)
}

// Write implements renew.Medium.
func (m volumeMedium) Write(ctx context.Context, content []byte) error {
	v, _, err := m.find(ctx)
	if err != nil {
		return err
	}
	return m.s.send(ctx, v, bytes.NewReader(content), int64(len(content)))
}

// fetch reads a volume.
func (s *poolStorage) fetch(ctx context.Context, v golibvirt.StorageVol, size int64) ([]byte, error) {
	if size > maxShelf {
		return nil, fmt.Errorf("the volume %s has %d bytes", v.Name, size)
	}
	content := make([]byte, size)
	err := s.transfer(ctx, func(c *streams) error {
		n, err := c.reader(v).ReadAt(content, 0)
		if errors.Is(err, io.EOF) {
			content, err = content[:n], nil
		}
		return err
	})
	return content, err
}
