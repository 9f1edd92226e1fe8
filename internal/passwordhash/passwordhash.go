// Package passwordhash makes the password hashes that a guest's /etc/shadow takes: the
// yescrypt scheme of crypt(5), which glibc with libxcrypt has had since version 4.4 and
// which Debian and NixOS use by default. The hash is made where the password was typed,
// so the daemon and the guest never get the password itself.
package passwordhash

import (
	"crypto/rand"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/openwall/yescrypt-go"
)

// MaxBytes is the longest password: PAM takes no longer one at a login.
const MaxBytes = 511

// setting is the scheme and its default cost (16 MiB, some 10 ms), as mkpasswd writes them.
const setting = "$y$j9T$"

// saltChars gives the salt 144 random bits. Four characters are three bytes, so every
// multiple of four of them is a valid salt.
const saltChars = 24

// alphabet is that of crypt(5).
const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Check refuses a password that could not be typed at a login. The error does not show it.
func Check(password []byte) error {
	switch {
	case len(password) == 0:
		return errors.New("the password is empty")
	case len(password) > MaxBytes:
		return fmt.Errorf("the password has %d bytes; a login takes at most %d", len(password), MaxBytes)
	case !utf8.Valid(password):
		return errors.New("the password is not UTF-8 text")
	}
	for _, r := range string(password) {
		if unicode.IsControl(r) {
			return errors.New("the password has a control character or a line end")
		}
	}
	return nil
}

// Of returns the hash of a password, with a new random salt.
func Of(password []byte) (string, error) {
	if err := Check(password); err != nil {
		return "", err
	}
	salt := make([]byte, saltChars)
	rand.Read(salt) // never fails: crypto/rand ends the program instead
	for i := range salt {
		salt[i] = alphabet[salt[i]%byte(len(alphabet))]
	}
	hash, err := yescrypt.Hash(password, append([]byte(setting), salt...))
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return string(hash), nil
}
