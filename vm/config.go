package vm

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// Config is config.toml. A file that does not exist is the same as an empty one.
//
//	default_backend = "laptop"
//	machines = "~/.config/nixvm/machines"   # absent: with the other data
//
//	[defaults]
//	image = "nixos"          # or "trial", or a file
//	profiles = ["claude", "dev"]
//	mode = "immutable"
//	memory = 4096            # MiB
//	vcpus = 2
//	disk = "30G"
//	network = "nat"          # absent: that of the backend
//
//	[backends.laptop]
//	type = "..."             # one of the drivers, which reads the other settings
//
//	[upgrade]
//	keep_generations = 3     # images that a VM can return to, the current one among them
//
//	[backup]
//	keep = { daily = 7, weekly = 4 }   # absent: all
//
//	[space]
//	warn_below = "2G"        # free space for the disks of VMs
//
//	[ssh]
//	prefix = ""              # put before every SSH name
//	style = "proxy"          # or "direct"
type Config struct {
	DefaultBackend string                   `toml:"default_backend"`
	Machines       string                   `toml:"machines"`
	Defaults       Defaults                 `toml:"defaults"`
	Backends       map[string]BackendConfig `toml:"backends"`
	Upgrade        UpgradeConfig            `toml:"upgrade"`
	SSH            SSHConfig                `toml:"ssh"`
	Backup         BackupConfig             `toml:"backup"`
	Space          SpaceConfig              `toml:"space"`
}

// maxGenerations bounds keep_generations: each keeps an image of gigabytes.
const maxGenerations = 100

// UpgradeConfig is [upgrade] of config.toml.
type UpgradeConfig struct {
	KeepGenerations int `toml:"keep_generations"`
}

// Defaults are [defaults] of config.toml: what create takes when it is not told.
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

// BackendConfig is one configured backend. Its other settings are its driver's.
type BackendConfig struct {
	Type string          `toml:"type"`
	Open backends.Opener `toml:"-"` // set by LoadConfig
}

// SSHConfig is how SSH names are written.
type SSHConfig struct {
	Prefix         string `toml:"prefix"`
	Style          string `toml:"style"`
	AcceptForwards bool   `toml:"accept_forwards"`
}

// BackupConfig says what becomes of old backups.
type BackupConfig struct {
	Keep Keep `toml:"keep"`
}

// SpaceConfig says when the space for the disks of VMs is scarce.
type SpaceConfig struct {
	WarnBelow string `toml:"warn_below"`
}

// Keep is a rule of retention: of how many of the last days, and weeks, that have
// backups of a machine one is kept. The zero value keeps all.
type Keep struct {
	Daily  int `toml:"daily"`
	Weekly int `toml:"weekly"`
}

// LoadConfig reads config.toml and fills in the defaults; drivers are the types of
// backend that there are, first the one that is used where none is configured. A key
// that is unknown or has the wrong type is config.invalid with file and line.
func LoadConfig(path string, drivers []backends.Driver) (Config, error) {
	var c Config
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	err = toml.NewDecoder(bytes.NewReader(content)).DisallowUnknownFields().Decode(&c)
	if err = besidesBackends(err); err != nil {
		return c, configProblem(path, err)
	}
	return c, c.complete(path, content, drivers)
}

// besidesBackends leaves out that settings of single backends are unknown: their
// drivers know them.
func besidesBackends(err error) error {
	var unknown *toml.StrictMissingError
	if !errors.As(err, &unknown) {
		return err
	}
	unknown.Errors = slices.DeleteFunc(unknown.Errors, func(e toml.DecodeError) bool {
		return len(e.Key()) > 2 && e.Key()[0] == "backends"
	})
	if len(unknown.Errors) == 0 {
		return nil
	}
	return unknown
}

func configProblem(path string, err error) error {
	where := path
	var unknown *toml.StrictMissingError
	var decode *toml.DecodeError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		row, _ := first.Position()
		return problem.New(problem.ConfigInvalid, "%s:%d: unknown setting %q", path, row, strings.Join(first.Key(), ".")).
			WithHint("docs/configuration.md lists the settings")
	}
	if errors.As(err, &decode) {
		row, column := decode.Position()
		where = fmt.Sprintf("%s:%d:%d", path, row, column)
	}
	return problem.New(problem.ConfigInvalid, "%s: %w", where, err).WithHint("correct the file (docs/configuration.md lists the settings), or move it away: the defaults apply then")
}

// complete fills in defaults and checks what can be checked without looking
// anywhere else. content is that of the file.
func (c *Config) complete(path string, content []byte, drivers []backends.Driver) error {
	bad := func(format string, args ...any) error {
		return problem.New(problem.ConfigInvalid, "%s: %s", path, fmt.Sprintf(format, args...)).WithHint("docs/configuration.md lists the settings")
	}
	if len(c.Backends) == 0 {
		c.Backends = map[string]BackendConfig{drivers[0].Type: {Type: drivers[0].Type}}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Backends)) {
		if names.Machine(name) != nil {
			return bad("the backend name %q is not made of a-z, 0-9 and -", name)
		}
		b := c.Backends[name]
		at := slices.IndexFunc(drivers, func(d backends.Driver) bool { return d.Type == b.Type })
		if at < 0 {
			return bad("backends.%s: type %q is unknown; this version has %s", name, b.Type, types(drivers))
		}
		var err error
		if b.Open, err = drivers[at].Configure(backends.NewSettings(path, content, name)); err != nil {
			return err
		}
		c.Backends[name] = b
	}
	return c.completeDefaults(bad)
}

// types lists those of the drivers, for people.
func types(drivers []backends.Driver) string {
	words := make([]string, len(drivers))
	for i, d := range drivers {
		words[i] = strconv.Quote(d.Type)
	}
	return strings.Join(words, " and ")
}

func (c *Config) completeDefaults(bad func(string, ...any) error) error {
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
	if k := c.Backup.Keep; k.Daily < 0 || k.Weekly < 0 {
		return bad("backup.keep: daily = %d and weekly = %d must not be negative", k.Daily, k.Weekly)
	}
	d := &c.Defaults
	setDefault(&d.Mode, string(machine.Immutable))
	setDefault(&d.Memory, 2048)
	setDefault(&d.VCPUs, 2)
	setDefault(&d.Disk, "20G")
	if _, err := machine.ParseNetwork(d.Network); err != nil {
		return bad("defaults.network: %v", err)
	}
	if _, err := machine.ParseSize(d.Disk); err != nil {
		return bad("defaults.disk: %v", err)
	}
	setDefault(&c.Space.WarnBelow, "2G")
	if n, err := machine.ParseSize(c.Space.WarnBelow); err != nil {
		return bad("space.warn_below: %v", err)
	} else if n < leastWarning {
		return bad("space.warn_below: %s is less than %s", c.Space.WarnBelow, machine.FormatSize(leastWarning))
	}
	setDefault(&c.Upgrade.KeepGenerations, 3)
	if n := c.Upgrade.KeepGenerations; n < 1 || n > maxGenerations {
		return bad("upgrade.keep_generations is %d, not a number from 1 to %d", n, maxGenerations)
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

const (
	// spaceHere and spaceThere are the times between two looks at the space for disks: on
	// this host it costs a system call, elsewhere libvirtd looks at all volumes.
	spaceHere  = 5 * time.Second
	spaceThere = time.Minute
	// leastWarning bounds space.warn_below, in bytes: an eighth of it must hold what a
	// guest has waiting to be written.
	leastWarning = 64 << 20
	// settled is how long a VM has to run after it was resumed until it is regarded as a
	// new event that its host's disk is full.
	settled = time.Minute
	// longestWait bounds the growing time between two attempts to resume a VM that is
	// paused again at once, although there seems to be space.
	longestWait = 10 * time.Minute
	// spaceClient is the client of the operations that resume VMs.
	spaceClient = "nixvmd (space on the host)"
)
