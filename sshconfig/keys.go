package sshconfig

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// keyComment goes into every guest, so it says nothing about the host.
const keyComment = "nixvm"

// IsClientKey reports whether a line of authorized_keys is the client key of a nixvm, of
// this one or of another: one of its type, with its comment and without options.
func IsClientKey(line string) bool {
	key, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	return err == nil && key.Type() == ssh.KeyAlgoED25519 && comment == keyComment && len(options) == 0
}

// Signer returns the client key, generating it on first use. An existing key
// that does not parse is an error and stays: the VMs know no other.
func (c *Config) Signer() (ssh.Signer, error) {
	signer, err := c.readKey()
	if !errors.Is(err, fs.ErrNotExist) {
		return signer, err
	}
	lock, err := flock(context.Background(), c.IdentityFile()+".lock", os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if signer, err = c.readKey(); !errors.Is(err, fs.ErrNotExist) {
		return signer, err
	}
	return c.generateKey()
}

// PublicKey is the client key's line for authorized_keys, without a newline.
func (c *Config) PublicKey() (string, error) {
	signer, err := c.Signer()
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(publicLine(signer)), "\n"), nil
}

func publicLine(s ssh.Signer) []byte {
	line := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(s.PublicKey())), "\n")
	return []byte(line + " " + keyComment + "\n")
}

func (c *Config) readKey() (ssh.Signer, error) {
	data, err := os.ReadFile(c.IdentityFile())
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, problem.New(problem.ConfigInvalid, "the client key %s has a passphrase", c.IdentityFile()).
			WithHint("remove it: ssh-keygen -p -N '' -f %s", c.IdentityFile())
	}
	if err != nil {
		return nil, problem.New(problem.ConfigInvalid, "the client key %s cannot be read: %w (%v)", c.IdentityFile(), errDamaged, err).
			WithHint("restart nixvmd: it generates another key and gives it to the machines")
	}
	return signer, nil
}

// generateKey writes the public half first: a process that finds the private key may
// rely on both.
func (c *Config) generateKey() (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, keyComment)
	if err != nil {
		return nil, fmt.Errorf("client key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("client key: %w", err)
	}
	if err := atomicfile.Write(c.IdentityFile()+".pub", publicLine(signer), 0o644); err != nil {
		return nil, err
	}
	return signer, atomicfile.Write(c.IdentityFile(), pem.EncodeToMemory(block), 0o600)
}
