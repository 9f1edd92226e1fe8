package machine

import (
	"bytes"
	"maps"
	"slices"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/problem"
)

// AddKeys returns the authorized keys with further ones, each once: a key that is there
// stays with the options and the comment that it has.
func AddKeys(keys, more []string) []string {
	list := slices.Clone(keys)
	for _, key := range more {
		if !slices.ContainsFunc(list, func(have string) bool { return have == key || sameKey(have, key) }) {
			list = append(list, key)
		}
	}
	return list
}

// RemoveKeys returns the authorized keys without those that which names: by the key
// itself, its SHA-256 fingerprint as `ssh-keygen -l` prints it, or its comment.
func RemoveKeys(keys []string, which string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(have string) bool { return isKey(have, which) })
}

// WithoutKeys returns the files of a machine without the authorized keys that drop names,
// and how many lines those were. Other lines stay as they are, comments included; a file
// without a line left is left out.
func WithoutKeys(files map[string][]byte, drop func(key string) bool) (kept map[string][]byte, dropped int) {
	kept = maps.Clone(files)
	for _, file := range []string{AdminKeysFile, UserKeysFile} {
		var left []byte
		for line := range bytes.Lines(files[file]) {
			if drop(string(bytes.TrimSpace(line))) {
				dropped++
				continue
			}
			left = append(left, line...)
		}
		if len(left) > 0 {
			kept[file] = left
		} else {
			delete(kept, file)
		}
	}
	return kept, dropped
}

// isKey reports whether which names the key of a line.
func isKey(line, which string) bool {
	if line == which || sameKey(line, which) {
		return true
	}
	key, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	return err == nil && (ssh.FingerprintSHA256(key) == which || comment != "" && comment == which)
}

// KeyNames returns a name for each key by which RemoveKeys finds it and no other: its
// comment, or its fingerprint where that is missing or not its own.
func KeyNames(keys []string) []string {
	names := make([]string, 0, len(keys))
	for _, line := range keys {
		key, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		switch {
		case err != nil:
			continue
		case comment == "" || len(RemoveKeys(keys, comment)) != len(keys)-1:
			comment = ssh.FingerprintSHA256(key)
		}
		names = append(names, comment)
	}
	return names
}

func sameKey(a, b string) bool {
	left, _, _, _, err := ssh.ParseAuthorizedKey([]byte(a))
	right, _, _, _, berr := ssh.ParseAuthorizedKey([]byte(b))
	return err == nil && berr == nil && bytes.Equal(left.Marshal(), right.Marshal())
}

// CheckKey refuses what is not one public key; the error does not show it.
func CheckKey(line string) error {
	keys, err := text{file: "key", data: []byte(line)}.authorizedKeys()
	if err == nil && len(keys) != 1 {
		err = text{file: "key"}.fault(0, "give one public key", "this is not one SSH public key")
	}
	if err != nil {
		return asProblem(err, (*Fault).invalid)
	}
	return nil
}

// KeyMissing is the problem of a key that is to be removed and is not there.
func KeyMissing(name, which string) error {
	return problem.New(problem.BadParams, "removeKeys: %s authorizes no key %s", name, quote(which)).
		WithHint("give the key, its fingerprint (ssh-keygen -lf FILE) or its comment; the files are admin_authorized_keys and user_authorized_keys")
}
