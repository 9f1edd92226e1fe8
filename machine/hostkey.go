package machine

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// parseHostKey derives the public key from the private one, which alone says
// what the guest's sshd will show. Errors hold nothing of the content.
func parseHostKey(m *Machine, t text) error {
	if len(bytes.TrimSpace(t.data)) == 0 {
		return nil
	}
	signer, err := ssh.ParsePrivateKey(t.data)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return t.fault(0, "remove the passphrase with `ssh-keygen -p -N '' -f <file>`", "the host key has a passphrase; sshd cannot use it")
	case err != nil:
		return t.fault(0, onceHint, "this is not an SSH private key in OpenSSH format")
	case signer.PublicKey().Type() != ssh.KeyAlgoED25519:
		return t.fault(0, onceHint, "the host key is of type %s, not %s", signer.PublicKey().Type(), ssh.KeyAlgoED25519)
	}
	m.HostKeyPublic = publicLine(signer.PublicKey())
	return nil
}

// hostKey adds a host key to made when it is missing, and its public half when
// that is missing or belongs to another key.
func hostKey(name string, have, made content, missing bool) error {
	private := have[HostKeyFile]
	if missing {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		block, err := ssh.MarshalPrivateKey(key, "root@"+name)
		if err != nil {
			return fmt.Errorf("encode the host key: %w", err)
		}
		private = pem.EncodeToMemory(block)
		made[HostKeyFile] = private
	}
	var m Machine
	if err := parseHostKey(&m, text{HostKeyFile, private}); err != nil {
		return err
	}
	if !strings.HasPrefix(string(have[HostKeyPubFile]), m.HostKeyPublic) {
		made[HostKeyPubFile] = []byte(m.HostKeyPublic + " root@" + name + "\n")
	}
	return nil
}

func publicLine(key ssh.PublicKey) string {
	return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n")
}
