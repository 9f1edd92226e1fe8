package pve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Secret is where the secret of a token comes from: one of a file, a variable of the
// environment, or a command.
type Secret struct {
	File    string   // absolute path; only its owner may have access to it
	Env     string   // name of a variable
	Command []string // program and arguments; it prints the secret

	cache *secretCache
}

// secretCache keeps a secret that has been read.
type secretCache struct {
	mu    sync.Mutex
	value string
}

// SecretError is a secret that cannot be read. It never has the secret in it.
type SecretError struct{ Err error }

func (e *SecretError) Error() string { return "the secret of the API token: " + e.Err.Error() }

func (e *SecretError) Unwrap() error { return e.Err }

// The limits of a command that prints a secret.
const (
	commandPatience = 30 * time.Second
	maxSecret       = 4 << 10
)

// secretForm is that of a secret: Proxmox VE makes UUIDs. What cannot be in a header is refused.
var secretForm = regexp.MustCompile(`^[\x21-\x7e]{1,256}$`)

// Check refuses what does not name exactly one source. Nothing is read.
func (s Secret) Check() error {
	n := 0
	for _, given := range []bool{s.File != "", s.Env != "", len(s.Command) > 0} {
		if given {
			n++
		}
	}
	switch {
	case n != 1:
		return errors.New("the secret of the API token needs exactly one of token_file, token_env and token_command")
	case s.File != "" && !strings.HasPrefix(s.File, "/"):
		return fmt.Errorf("token_file %q is not an absolute path", s.File)
	case len(s.Command) > 0 && s.Command[0] == "":
		return errors.New("token_command has no program")
	}
	return nil
}

// Kept is a Secret that is read once, by the first request that needs it.
func (s Secret) Kept() Secret {
	s.cache = &secretCache{}
	return s
}

// read returns the secret. A failure is not kept: the next request tries again.
func (s Secret) read(ctx context.Context) (string, error) {
	if s.cache == nil {
		return s.fresh(ctx)
	}
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	if s.cache.value != "" {
		return s.cache.value, nil
	}
	value, err := s.fresh(ctx)
	s.cache.value = value
	return value, err
}

func (s Secret) fresh(ctx context.Context) (string, error) {
	text, err := s.source(ctx)
	if err != nil {
		return "", &SecretError{Err: err}
	}
	text = strings.TrimSpace(text)
	if !secretForm.MatchString(text) {
		return "", &SecretError{Err: errors.New("it is empty, or has spaces or control characters in it")}
	}
	return text, nil
}

func (s Secret) source(ctx context.Context) (string, error) {
	switch {
	case s.File != "":
		return readSecretFile(s.File)
	case s.Env != "":
		value, ok := os.LookupEnv(s.Env)
		if !ok {
			return "", fmt.Errorf("the daemon has no variable %s in its environment", s.Env)
		}
		return value, nil
	}
	return runSecretCommand(ctx, s.Command)
}

// readSecretFile refuses a file that others can read.
func readSecretFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("%s has mode %04o: others have access to it; chmod 600 %s", path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret))
	return string(text), err
}

// runSecretCommand returns what a program prints. Its errors are shown, its output never.
func runSecretCommand(ctx context.Context, argv []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandPatience)
	defer cancel()
	var out, complaints bytes.Buffer
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Stdout, c.Stderr = &capped{&out}, &capped{&complaints}
	c.WaitDelay = time.Second
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("command %s: %w: %s", argv[0], err, strings.TrimSpace(complaints.String()))
	}
	return out.String(), nil
}

// capped keeps the first bytes that are written to it.
type capped struct{ to *bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	if rest := maxSecret - c.to.Len(); rest > 0 {
		c.to.Write(p[:min(len(p), rest)])
	}
	return len(p), nil
}

// tokenForm is user@realm!name. The name has at least two characters.
var tokenForm = regexp.MustCompile(`^[^\s:/@!]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+$`)

// CheckTokenID refuses what is no id of an API token.
func CheckTokenID(id string) error {
	if !tokenForm.MatchString(id) {
		return fmt.Errorf("token_id %q does not have the form USER@REALM!NAME, e.g. nixvm@pve!laptop", id)
	}
	return nil
}

// CheckURL refuses what is no address of a server, and everything but HTTPS.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("url %q does not have the form https://HOST:8006", text)
	}
	return nil
}
