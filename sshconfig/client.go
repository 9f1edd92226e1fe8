package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/problem"
)

// DialFunc connects to the guest's sshd. It must honour the context.
type DialFunc func(ctx context.Context) (net.Conn, error)

// keyExchanges puts what costs a slow guest least first. All are what x/crypto
// has as secure defaults.
var keyExchanges = []string{
	ssh.KeyExchangeCurve25519, "curve25519-sha256@libssh.org", ssh.KeyExchangeMLKEM768X25519,
	ssh.KeyExchangeECDHP256, ssh.KeyExchangeDH16SHA512,
}

// Dial connects and authenticates with the signer, accepting hostKey (one line
// of authorized_keys format) and no other. The context bounds the handshake
// too. The caller closes the client.
//
// Problems: ssh.host_key_mismatch, ssh.unreachable.
func Dial(ctx context.Context, dial DialFunc, user, hostKey string, signer ssh.Signer) (*ssh.Client, error) {
	pinned, err := parseHostKey(hostKey)
	if err != nil {
		return nil, problem.New(problem.MachineInvalid, "the pinned host key does not parse: %w", err)
	}
	conn, err := dial(ctx)
	if err != nil {
		return nil, unreachable(err)
	}
	config := clientConfig(user, func(key ssh.PublicKey) error { return checkKey(pinned, key) })
	config.Auth = []ssh.AuthMethod{ssh.PublicKeys(signer)}
	c, channels, requests, err := handshake(ctx, conn, config)
	if err != nil {
		return nil, unreachable(err)
	}
	return ssh.NewClient(c, channels, requests), nil
}

// unreachable wraps what is not a problem yet.
func unreachable(err error) error {
	var p *problem.Error
	if errors.As(err, &p) || errors.Is(err, context.Canceled) {
		return err
	}
	return problem.New(problem.SSHUnreachable, "cannot connect to the guest's sshd: %w", err).Retry()
}

func clientConfig(user string, check func(ssh.PublicKey) error) *ssh.ClientConfig {
	return &ssh.ClientConfig{
		Config:            ssh.Config{KeyExchanges: keyExchanges},
		User:              user,
		ClientVersion:     "SSH-2.0-nixvm",
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
		HostKeyCallback:   func(_ string, _ net.Addr, key ssh.PublicKey) error { return check(key) },
	}
}

func checkKey(pinned, got ssh.PublicKey) error {
	if bytes.Equal(pinned.Marshal(), got.Marshal()) {
		return nil
	}
	return problem.New(problem.SSHHostKey, "the guest presents the host key %s instead of the one generated for it, %s",
		ssh.FingerprintSHA256(got), ssh.FingerprintSHA256(pinned)).
		WithHint("another server answers at this address, or the guest's identity was replaced; recreate the VM or restore its host key")
}

// handshake runs the SSH handshake on conn, which it owns: on an error, or when
// the context ends first, conn is closed.
func handshake(ctx context.Context, conn net.Conn, config *ssh.ClientConfig) (ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	c, channels, requests, err := ssh.NewClientConn(conn, conn.RemoteAddr().String(), config)
	if !stop() && err == nil {
		_ = c.Close()
		err = ctx.Err()
	}
	if err == nil {
		return c, channels, requests, nil
	}
	_ = conn.Close()
	var none *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &none):
		err = problem.New(problem.SSHHostKey, "the guest's sshd has no %s host key: %w", ssh.KeyAlgoED25519, err).
			WithHint("another server answers at this address, or the guest did not apply its identity")
	case ctx.Err() != nil:
		err = fmt.Errorf("ssh handshake: %w", context.Cause(ctx))
	}
	return nil, nil, nil, err
}
