package vm

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/nixvm/nixvm/backends/libvirt"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// Config is config.toml. A file that does not exist is the same as an empty one.
//
//	default_backend = "laptop"
//
//	[defaults]
//	image = "nixos"          # or "trial", or a file
//	profiles = ["claude", "dev"]
//	mode = "immutable"
//	memory = 4096            # MiB
//	vcpus = 2
//	disk = "30G"
//	network = "nat"
//
//	[backends.laptop]
//	type = "qemu"
//	accel = "auto"           # or "kvm", "tcg"
//
//	[backends.lab]
//	type = "libvirt"
//	uri = "qemu:///system"   # or qemu:///session, qemu+ssh://user@host/system
//
//	[ssh]
//	prefix = ""              # put before every SSH name
//	style = "proxy"          # or "direct"
type Config struct {
	DefaultBackend string                   `toml:"default_backend"`
	Defaults       Defaults                 `toml:"defaults"`
	Backends       map[string]BackendConfig `toml:"backends"`
	SSH            SSHConfig                `toml:"ssh"`
}

// Defaults are what create takes when it is not told.
type Defaults struct {
	Image    string   `toml:"image"` // empty: nixos where it can be built, else trial
	Profiles []string `toml:"profiles"`
	Mode     string   `toml:"mode"`
	Memory   int      `toml:"memory"` // MiB
	VCPUs    int      `toml:"vcpus"`
	Disk     string   `toml:"disk"`
	Network  string   `toml:"network"`
}

// DiskBytes is Disk in bytes; 0 if it is no size, which LoadConfig refuses.
func (d Defaults) DiskBytes() int64 {
	n, err := machine.ParseSize(d.Disk)
	if err != nil {
		return 0
	}
	return n
}

// BackendConfig is one configured backend.
type BackendConfig struct {
	Type  string `toml:"type"`  // "qemu" or "libvirt"
	Accel string `toml:"accel"` // "auto", "kvm" or "tcg"

	// Of libvirt only; see libvirt.Config.
	URI       string `toml:"uri"`
	Network   string `toml:"network"`
	Pool      string `toml:"pool"`
	Autostart bool   `toml:"autostart"` // of the machines that are created there from now on, unless they are told otherwise

	MigrateURI    string `toml:"migrate_uri"`
	MigrateUnsafe bool   `toml:"migrate_unsafe"`
}

// check says what is wrong with the settings of a backend, as the end of a
// sentence; empty = nothing.
func (b BackendConfig) check() string {
	switch b.Type {
	case "qemu":
		if b.URI != "" || b.Network != "" || b.Pool != "" || b.Autostart || b.MigrateURI != "" || b.MigrateUnsafe {
			return `uri, network, pool, autostart, migrate_uri and migrate_unsafe are settings of type "libvirt"`
		}
	case "libvirt":
		if err := libvirt.CheckURI(b.URI); err != nil {
			return strings.TrimRight(err.Error()+"; "+problem.From(err).Hint, "; ")
		}
		if b.Autostart && !libvirt.CanAutostart(b.URI) {
			return "autostart is not for sessions: their libvirtd does not start with the host"
		}
		if u, err := url.Parse(b.MigrateURI); b.MigrateURI != "" && (err != nil || u.Scheme != "tcp" || u.Hostname() == "") {
			return fmt.Sprintf("migrate_uri %q is not like tcp://ADDRESS", b.MigrateURI)
		}
	default:
		return fmt.Sprintf(`type %q is unknown; this version has "qemu" and "libvirt"`, b.Type)
	}
	if !slices.Contains([]string{"", "auto", "kvm", "tcg"}, b.Accel) {
		return fmt.Sprintf("accel %q is none of auto, kvm, tcg", b.Accel)
	}
	return ""
}

// SSHConfig is how SSH names are written.
type SSHConfig struct {
	Prefix         string `toml:"prefix"`
	Style          string `toml:"style"`
	AcceptForwards bool   `toml:"accept_forwards"`
}

// LoadConfig reads config.toml and fills in the defaults. A key that is unknown
// or has the wrong type is config.invalid with file and line.
func LoadConfig(path string) (Config, error) {
	var c Config
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	if err := toml.NewDecoder(bytes.NewReader(content)).DisallowUnknownFields().Decode(&c); err != nil {
		return c, configProblem(path, err)
	}
	return c, c.complete(path)
}

func configProblem(path string, err error) error {
	where := path
	var unknown *toml.StrictMissingError
	var decode *toml.DecodeError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		row, _ := first.Position()
		return problem.New(problem.ConfigInvalid, "%s:%d: there is no setting %q", path, row, strings.Join(first.Key(), ".")).
			WithHint("docs/configuration.md lists the settings")
	}
	if errors.As(err, &decode) {
		row, column := decode.Position()
		where = fmt.Sprintf("%s:%d:%d", path, row, column)
	}
	return problem.New(problem.ConfigInvalid, "%s: %w", where, err).WithHint("correct the file (docs/configuration.md lists the settings), or move it away: the defaults hold then")
}

// complete fills in defaults and checks what can be checked without looking
// anywhere else.
func (c *Config) complete(path string) error {
	bad := func(format string, args ...any) error {
		return problem.New(problem.ConfigInvalid, "%s: %s", path, fmt.Sprintf(format, args...)).WithHint("docs/configuration.md lists the settings")
	}
	if len(c.Backends) == 0 {
		c.Backends = map[string]BackendConfig{"qemu": {Type: "qemu"}}
	}
	for name, b := range c.Backends {
		if machine.ValidName(name) != nil {
			return bad("the backend name %q is not made of a-z, 0-9 and -", name)
		}
		if wrong := b.check(); wrong != "" {
			return bad("backends.%s: %s", name, wrong)
		}
	}
	if c.DefaultBackend == "" {
		if len(c.Backends) > 1 {
			return bad("there are %d backends and no default_backend", len(c.Backends))
		}
		for name := range c.Backends {
			c.DefaultBackend = name
		}
	}
	if _, ok := c.Backends[c.DefaultBackend]; !ok {
		return bad("default_backend %q is not configured", c.DefaultBackend)
	}
	return c.completeDefaults(bad)
}

func (c *Config) completeDefaults(bad func(string, ...any) error) error {
	d := &c.Defaults
	setDefault(&d.Mode, string(machine.Immutable))
	setDefault(&d.Memory, 2048)
	setDefault(&d.VCPUs, 2)
	setDefault(&d.Disk, "20G")
	setDefault(&d.Network, "nat")
	if _, err := machine.ParseSize(d.Disk); err != nil {
		return bad("defaults.disk: %v", err)
	}
	if _, err := parseMode(d.Mode); err != nil {
		return bad("defaults.mode: %v", err)
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func parseMode(word string) (machine.Mode, error) {
	switch m := machine.Mode(word); m {
	case machine.Immutable, machine.SemiMutable, machine.Mutable:
		return m, nil
	}
	return "", problem.New(problem.ModeUnsupported, "there is no mode %q", word).
		WithHint("use %s, %s or %s", machine.Immutable, machine.SemiMutable, machine.Mutable)
}
