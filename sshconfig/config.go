package sshconfig

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

// Style says how a Host block finds the VM.
type Style string

// The two styles.
const (
	// Proxy writes a ProxyCommand: the entry never changes, and connecting
	// can start the VM.
	Proxy Style = "proxy"
	// Direct writes HostName and Port, for clients that cannot run a
	// ProxyCommand. The entry changes whenever the endpoint does.
	Direct Style = "direct"
)

// Options for Open. Layout and, for the proxy style, Executable are required.
type Options struct {
	Layout     paths.Layout
	UserConfig string   // absolute; default $NIXVM_SSH_CONFIG, else .ssh/config in the home directory that ssh itself uses
	Executable string   // absolute path of nixvmd, for ProxyCommand
	ProxyArgs  []string // between Executable and "proxy", e.g. {"--home", dir} when NIXVM_HOME is in effect
	SSH        string   // ssh program, default "ssh"
	Prefix     string   // put before every name, e.g. "vm-"; for users whose config already has the names
	Style      Style    // default Proxy

	// AcceptForwards lets new machines inherit LocalForward, RemoteForward and
	// DynamicForward of the user's own configuration.
	AcceptForwards bool
}

// Config edits one user's SSH configuration for one nixvm instance. It has no
// mutable state of its own but what it has asked ssh once: methods may be called at
// once, and by several processes.
type Config struct {
	opts     Options
	dir      string // ours: layout.SSH()
	storeDir string // files below it are managed by Nix and never edited
	sshDir   string // what ssh resolves relative Includes against

	// The system's configuration, if the user's is the one that ssh reads by
	// itself: then ssh reads both, and checks who may write the user's. Empty: the
	// user's is another file, which ssh gets by -F and trusts.
	system string

	recent        func() bool // ssh knows recentOptions; asked once
	verifyTimeout time.Duration
	beforeRename  func() // tests: called when the user's file is about to be replaced
}

// Open checks the options and creates our directory and the one for control
// sockets. It does not touch the user's configuration.
//
// Problems: config.invalid for an option that could not be written into an
// ssh_config, ssh.path_too_long for a runtime directory that leaves no room for
// control sockets.
func Open(o Options) (*Config, error) {
	if o.SSH == "" {
		o.SSH = "ssh"
	}
	if o.Style == "" {
		o.Style = Proxy
	}
	home := homeDir()
	if o.UserConfig == "" {
		o.UserConfig = os.Getenv("NIXVM_SSH_CONFIG")
	}
	if o.UserConfig == "" {
		o.UserConfig = filepath.Join(home, ".ssh", "config")
	}
	c := &Config{opts: o, dir: o.Layout.SSH(), storeDir: "/nix/store", sshDir: filepath.Join(home, ".ssh"), verifyTimeout: defaultVerifyTimeout}
	if o.UserConfig == filepath.Join(home, ".ssh", "config") {
		c.system = "/etc/ssh/ssh_config"
	}
	c.recent = sync.OnceValue(c.knowsRecent)
	if err := c.check(); err != nil {
		return nil, err
	}
	for _, d := range []string{c.dir, o.Layout.ControlDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("create %s: %w", d, err)
		}
	}
	return c, nil
}

func (c *Config) check() error {
	o := c.opts
	invalid := func(format string, args ...any) *problem.Error {
		return problem.New(problem.ConfigInvalid, format, args...)
	}
	switch {
	case !filepath.IsAbs(o.UserConfig) || !printable(o.UserConfig):
		return invalid("the SSH config %q is not an absolute path", o.UserConfig).WithHint("set NIXVM_SSH_CONFIG to an absolute path, or unset it")
	case o.Style != Proxy && o.Style != Direct:
		return invalid("unknown SSH style %q", o.Style).WithHint("use %q or %q", Proxy, Direct)
	case !names.IsSSHPrefix(o.Prefix):
		return invalid("the SSH name prefix %q is not made of a-z, 0-9 and -", o.Prefix).WithHint(`use a prefix such as "vm-"`)
	case !literalPath(c.dir):
		return invalid("OpenSSH cannot read a configuration below %q", c.dir).
			WithHint("the directory must be absolute and free of %% , ${ and control characters; set XDG_STATE_HOME or NIXVM_HOME to another one")
	case !literalPath(o.Layout.ControlDir()):
		return invalid("OpenSSH cannot use control sockets in %q", o.Layout.ControlDir()).
			WithHint("the directory must be absolute and free of %% , ${ and control characters; set XDG_RUNTIME_DIR")
	}
	if o.Style == Proxy {
		if !filepath.IsAbs(o.Executable) || !printable(o.Executable) {
			return invalid("the proxy program %q is not an absolute path", o.Executable)
		}
		for _, a := range o.ProxyArgs {
			if !printable(a) {
				return invalid("the proxy argument %q has control characters", a)
			}
		}
	}
	if sock := o.Layout.ControlSocket("x", "admin"); len(sock) > maxControlPath {
		return problem.New(problem.SSHPathTooLong, "the control socket path %s has %d bytes, ssh allows %d", sock, len(sock), maxControlPath).
			WithHint("set XDG_RUNTIME_DIR to a shorter directory")
	}
	return nil
}

// maxControlPath is what OpenSSH accepts on Linux: it first binds the path plus
// a 17-character suffix, and sun_path holds 108 with its NUL (measured on 9.2:
// 90 works, 91 does not).
const maxControlPath = 90

// homeDir is the home directory as ssh sees it: from the password database.
// ssh ignores $HOME, so a config written below a changed $HOME would never be read.
func homeDir() string {
	if u, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil && filepath.IsAbs(u.HomeDir) {
		return u.HomeDir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "/"
	}
	return home
}

// UserConfig is the path of the user's configuration, before symlinks are resolved.
func (c *Config) UserConfig() string { return c.opts.UserConfig }

// ConfigFile is our own configuration: the file that editors which do not
// follow Include should read as well.
func (c *Config) ConfigFile() string { return filepath.Join(c.dir, "config") }

// KnownHostsFile holds the pinned host keys, one line per VM.
func (c *Config) KnownHostsFile() string { return filepath.Join(c.dir, "known_hosts") }

// IdentityFile is the client's private key.
func (c *Config) IdentityFile() string { return filepath.Join(c.dir, "id_ed25519") }

// IncludeLine is the line that the user's configuration needs, for people who
// add it by hand.
func (c *Config) IncludeLine() string { return "Include " + quoteInclude(c.ConfigFile()) }
