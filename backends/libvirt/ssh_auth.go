package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/nixvm/nixvm/internal/problem"
)

// keyring is what a user proves itself with: keys of the agent first, then of
// files without a passphrase.
type keyring struct {
	signers []ssh.Signer
	locked  []string // files with a passphrase, whose keys the agent does not have
	agent   net.Conn // open while signers are in use; nil = none
	stop    func() bool
}

func (k *keyring) close() {
	if k.agent != nil {
		k.stop()
		k.agent.Close()
	}
}

// openKeyring collects the keys. An agent may ask its user first, and nobody may
// be there to answer: when ctx ends, so does the connection to it.
func openKeyring(ctx context.Context, s sshSettings) *keyring {
	k := &keyring{}
	held := map[string]bool{}
	var wanted []string // public keys of the identity files
	for _, f := range s.identities {
		wanted = append(wanted, firstKey(f+".pub"), firstKey(f))
	}
	for _, signer := range k.ofAgent(ctx, s.agent) {
		line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
		isWanted := slices.Contains(wanted, line)
		switch {
		case isWanted: // a server takes a few keys only: the right one first
			k.signers = slices.Insert(k.signers, 0, signer)
		case !s.onlyThese:
			k.signers = append(k.signers, signer)
		}
		held[line] = true
	}
	for _, f := range s.identities {
		if line := firstKey(f + ".pub"); !held[line] {
			k.addFile(f)
		}
	}
	return k
}

func (k *keyring) ofAgent(ctx context.Context, socket string) []ssh.Signer {
	if socket == "" {
		return nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil // an agent that has ended: the files may do
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		stop()
		conn.Close()
		return nil
	}
	k.agent, k.stop = conn, stop
	return signers
}

func (k *keyring) addFile(path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		return // the usual names, of which most do not exist
	}
	signer, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		k.signers = append(k.signers, signer)
	case errors.As(err, &locked):
		k.locked = append(k.locked, path)
	}
}

// refused says why no key was taken.
func (k *keyring) refused(d destination, s sshSettings) *problem.Error {
	p := problem.New(problem.BackendUnreachable, "%s does not let %s in with the SSH keys at hand", d.host, s.user)
	switch {
	case len(k.locked) > 0:
		return p.WithHint("unlock the key: ssh-add %s", k.locked[0])
	case len(k.signers) == 0:
		return p.WithHint("there is no key: ssh-keygen -t ed25519; ssh-copy-id %s", d)
	}
	return p.WithHint("ssh-copy-id %s", d)
}

// hostKeys checks that a host is the one that known_hosts names. It never
// learns a key: a person has to look at the first one.
type hostKeys struct {
	check ssh.HostKeyCallback
	files []string
}

func readKnownHosts(s sshSettings) (hostKeys, error) {
	h := hostKeys{}
	for _, f := range s.knownHosts {
		if _, err := os.Stat(f); err == nil {
			h.files = append(h.files, f)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return h, err
		}
	}
	var err error
	if h.check, err = knownhosts.New(h.files...); err != nil {
		return h, problem.New(problem.BackendUnreachable, "known hosts cannot be read: %w", err).WithHint("correct or remove that line")
	}
	return h, nil
}

// algorithms puts those of known keys first, so that a host with several shows
// one that is known; the others let one that has none of them be told so.
func (h hostKeys) algorithms(alias string) []string {
	var list []string
	var unknown *knownhosts.KeyError
	if err := h.check(alias, &net.TCPAddr{IP: net.IPv4zero}, noKey{}); !errors.As(err, &unknown) {
		return nil
	}
	for _, known := range unknown.Want {
		if t := known.Key.Type(); t == ssh.KeyAlgoRSA {
			list = append(list, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			list = append(list, t)
		}
	}
	for _, a := range ssh.SupportedAlgorithms().HostKeys {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// noKey is a key that no host has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// verify is the callback of a connection.
func (h hostKeys) verify(d destination) ssh.HostKeyCallback {
	return func(alias string, remote net.Addr, key ssh.PublicKey) error {
		err := h.check(alias, remote, key)
		var wrong *knownhosts.KeyError
		var revoked *knownhosts.RevokedError
		switch {
		case errors.As(err, &revoked):
			return problem.New(problem.SSHHostKey, "the SSH host key of %s is revoked: %s:%d", d.host, revoked.Revoked.Filename, revoked.Revoked.Line)
		case !errors.As(err, &wrong):
			return err
		case len(wrong.Want) == 0:
			return problem.New(problem.SSHHostKey, "the SSH host key of %s is not known", d.host).
				WithHint("connect once by hand and compare %s %s: ssh %s true", key.Type(), ssh.FingerprintSHA256(key), d)
		}
		known := wrong.Want[0]
		return problem.New(problem.SSHHostKey, "%s has another SSH host key than %s:%d says: somebody may listen in, or the host was installed anew",
			d.host, known.Filename, known.Line).
			WithHint("only if it was: ssh-keygen -f %s -R %s; then: ssh %s true", known.Filename, quoteName(knownhosts.Normalize(alias)), d)
	}
}

func quoteName(s string) string { return fmt.Sprintf("'%s'", s) }
