package checkout

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/internal/problem"
)

// maxEnv bounds a .env file, in bytes.
const maxEnv = 64 << 10

// Settings are the variables of a .env file that mean something here.
type Settings map[string]string

// read are those variables.
var read = []string{
	"BACKEND", "HOST", "MACHINES_DIR", "NIXOS_VM_MACHINES_DIR", "OUTPUT_DIR", "LIBVIRT_URI",
	"PVE_HOST", "PVE_NODE", "PVE_STORAGE", "PVE_BRIDGE", "PVE_DISK_FORMAT", "PVE_FIREWALL", "PVE_BACKUP_STORAGE",
}

var (
	assignment = regexp.MustCompile(`^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)$`)
	variable   = regexp.MustCompile(`\$(?:HOME\b|\{HOME\})`)
)

// readEnv reads a .env file as data, as the recipes' runner would load it: nothing in
// it is executed, and the only variable that is replaced is HOME. No file is no settings.
func readEnv(path, home string) (Settings, error) {
	text, err := readBounded(path, maxEnv)
	if os.IsNotExist(err) {
		return Settings{}, nil
	}
	if err != nil {
		return nil, err
	}
	if !utf8.ValidString(text) {
		return nil, invalid("%s is not UTF-8 text", path)
	}
	s := Settings{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := assignment.FindStringSubmatch(line)
		if m == nil {
			return nil, invalid("%s:%d: this is not an assignment NAME=VALUE", path, i+1)
		}
		if !slices.Contains(read, m[1]) {
			continue
		}
		value, err := unquote(m[2], home)
		if err != nil {
			return nil, invalid("%s:%d: %s: %w", path, i+1, m[1], err)
		}
		s[m[1]] = value
	}
	return s, nil
}

// unquote is the value of an assignment.
func unquote(raw, home string) (string, error) {
	value := raw
	switch quote := raw; {
	case strings.HasPrefix(quote, "'"), strings.HasPrefix(quote, `"`):
		end := strings.IndexByte(quote[1:], quote[0])
		if rest := strings.TrimSpace(quote[end+2:]); end < 0 || rest != "" && !strings.HasPrefix(rest, "#") {
			return "", fmt.Errorf("the quotation marks do not match")
		}
		value = quote[1 : end+1]
		if quote[0] == '\'' {
			home = ""
		}
	default:
		if at := strings.Index(value, " #"); at >= 0 {
			value = value[:at]
		}
		value = strings.TrimSpace(value)
	}
	if home != "" {
		value = variable.ReplaceAllLiteralString(value, home)
	}
	if strings.ContainsAny(value, "$`\\") {
		return "", fmt.Errorf("variables, commands and backslashes are not evaluated; write the value itself")
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		return "", fmt.Errorf("the value has control characters")
	}
	return value, nil
}

// readBounded reads a regular file that is no link. O_NONBLOCK keeps a FIFO from holding
// us for ever.
func readBounded(path string, limit int) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !fi.Mode().IsRegular() {
		return "", invalid("%s is not a regular file", path)
	}
	if fi.Size() > int64(limit) {
		return "", invalid("%s is longer than %d bytes", path, limit)
	}
	data := make([]byte, limit)
	n, err := f.Read(data)
	if n == 0 && fi.Size() == 0 {
		err = nil
	}
	return string(data[:n]), err
}

func invalid(format string, args ...any) error {
	return hinted("correct it, or name another directory", format, args...)
}

func hinted(hint, format string, args ...any) error {
	return problem.New(problem.BadParams, format, args...).WithHint("%s", hint)
}
