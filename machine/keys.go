package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"
)

func parseAdminKeys(m *Machine, t text) (err error) {
	m.AdminKeys, err = t.authorizedKeys()
	return err
}

func parseUserKeys(m *Machine, t text) (err error) {
	m.UserKeys, err = t.authorizedKeys()
	return err
}

// authorizedKeys reads sshd(8)'s AUTHORIZED_KEYS format. The lines are kept as
// they are, options and comments included. Errors do not show the line: what is
// pasted here by mistake is a private key.
func (t text) authorizedKeys() ([]string, error) {
	all, err := t.lines()
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, l := range all {
		if strings.Contains(l.text, "PRIVATE KEY") {
			return nil, t.fault(l.number, "write the content of the .pub file instead", "this is a private key")
		}
		if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l.text)); err != nil {
			return nil, t.fault(l.number, "write a public key as `ssh-add -L` prints it, on one line: ssh-ed25519 AAAA... you@laptop", "this is not an SSH public key")
		}
		keys = append(keys, l.text)
	}
	return keys, nil
}

// A crypt(5) hash with a method, e.g. $y$ or $6$; the sign of a locked
// password; nothing that a guest's chpasswd could take as two fields.
var passwordHashRE = regexp.MustCompile(`^(\$[A-Za-z0-9]+\$[A-Za-z0-9./$=,_-]+|[!*]{1,2})$`)

func parseRootPassword(m *Machine, t text) error {
	hash, err := t.passwordHash()
	m.RootPassword = hash != "" && hash[0] == '$'
	if hash != "" {
		sum := sha256.Sum256([]byte(hash))
		m.PasswordSum = hex.EncodeToString(sum[:])
	}
	return err
}

// passwordHash returns the hash, empty for none. Errors do not show it.
func (t text) passwordHash() (string, error) {
	l, ok, err := t.value()
	if err != nil || !ok {
		return "", err
	}
	if !passwordHashRE.MatchString(l.text) || len(l.text) > 512 {
		return "", notAHash(t, l.number)
	}
	return l.text, nil
}

func notAHash(t text, line int) *Fault {
	return t.fault(line, "use the output of `nixvmd passwd --hash`, or empty the file for no password", "this is not a password hash")
}
