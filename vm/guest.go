package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/sshconfig"
)

// maxOutput bounds what is read of a command in a guest, in bytes.
const maxOutput = 64 << 10

// inGuest runs a command as admin in a guest that runs, by SSH with the pinned host key,
// and returns what it prints. Its exit status is an error, *ssh.ExitError; one that the
// guest does not send, *ssh.ExitMissingError.
func (s *Service) inGuest(ctx context.Context, name, command string) (string, error) {
	client, err := s.dialGuest(ctx, name, "admin")
	if err != nil {
		return "", err
	}
	defer client.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	session, err := client.NewSession()
	if err != nil {
		return "", fmt.Errorf("open a session: %w", err)
	}
	defer session.Close()
	out := &bounded{}
	session.Stdout = out
	if err := session.Run(command); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		return out.String(), fmt.Errorf("a command in the guest: %w", err)
	}
	return out.String(), nil
}

// dialGuest connects to a guest that runs, as an account, with the pinned host key. The
// caller closes the client.
func (s *Service) dialGuest(ctx context.Context, name, account string) (*ssh.Client, error) {
	e, b, err := s.placed(name)
	if err != nil {
		return nil, err
	}
	guest, err := s.guestOf(e)
	if err != nil {
		return nil, err
	}
	signer, err := s.ssh.Signer()
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context) (net.Conn, error) { return s.inventory.Dial(ctx, b, name) }
	return sshconfig.Dial(ctx, dial, account, guest.HostKey, signer)
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ buf bytes.Buffer }

// Write implements io.Writer.
func (w *bounded) Write(p []byte) (int, error) {
	w.buf.Write(p[:min(len(p), maxOutput-w.buf.Len())])
	return len(p), nil
}

// String returns what was kept.
func (w *bounded) String() string { return w.buf.String() }
