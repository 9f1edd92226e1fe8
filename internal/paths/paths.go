// Package paths defines the files and directories of nixvm.
//
// The four roots follow the XDG base directories, or lie below $NIXVM_HOME when
// that is set (tests, second instances). All names below them are defined here only;
// docs/layout.md explains them file by file.
//
//	config   config.toml
//	data     machines/<name>/ images/<id>/ backups/ flake/
//	state    vms/<name>/ libvirt/<backend>/<name>/ records/ journal/ log/ ssh/
//	runtime  nixvmd.sock cm/<hash>-<account> lv/<hash>/ vm/<hash>/
package paths

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/adrg/xdg"

	"github.com/nixvm/nixvm/internal/problem"
)

// MaxSocket is the longest path, in bytes, that we use for a unix socket:
// sun_path holds 108, and some peers want a terminating NUL and a suffix.
const MaxSocket = 100

// maxRuntime is the longest runtime root that keeps every socket below
// MaxSocket and every ssh ControlPath below 90 bytes (ssh binds the path plus
// 17 characters first).
const maxRuntime = 70

// Layout is the set of roots. All paths are absolute.
type Layout struct {
	Config, Data, State, Runtime string
	// MachinesDir is where config.toml has the machines; empty = in Data.
	MachinesDir string
}

// FromEnv returns the layout for this user and environment. It creates nothing.
func FromEnv() (Layout, error) {
	l, home := Layout{}, os.Getenv("NIXVM_HOME")
	if home != "" {
		abs, err := filepath.Abs(home)
		if err != nil {
			return l, fmt.Errorf("NIXVM_HOME: %w", err)
		}
		l = Under(abs)
	} else {
		xdg.Reload()
		l = Layout{
			Config:  filepath.Join(xdg.ConfigHome, "nixvm"),
			Data:    filepath.Join(xdg.DataHome, "nixvm"),
			State:   filepath.Join(xdg.StateHome, "nixvm"),
			Runtime: defaultRuntime(),
		}
	}
	if len(l.Runtime) > maxRuntime {
		// A long home must not make sockets impossible: a short name that is
		// the same for the same home.
		sum := sha256.Sum256([]byte(l.Runtime))
		l.Runtime = filepath.Join(shortTemp(), fmt.Sprintf("nixvm-%d-%s", os.Getuid(), hex.EncodeToString(sum[:4])))
	}
	if len(l.Runtime) > maxRuntime {
		return l, problem.New(problem.PathTooLong, "the runtime directory %s is longer than %d bytes", l.Runtime, maxRuntime).
			WithHint("set XDG_RUNTIME_DIR or TMPDIR to a shorter directory")
	}
	return l, nil
}

// Under returns the layout with all four roots below one directory.
func Under(home string) Layout {
	return Layout{
		Config:  filepath.Join(home, "config"),
		Data:    filepath.Join(home, "data"),
		State:   filepath.Join(home, "state"),
		Runtime: filepath.Join(home, "runtime"),
	}
}

func defaultRuntime() string {
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "nixvm")
	}
	if d := fmt.Sprintf("/run/user/%d", os.Getuid()); isDir(d) {
		return filepath.Join(d, "nixvm")
	}
	return filepath.Join(shortTemp(), fmt.Sprintf("nixvm-%d", os.Getuid()))
}

func shortTemp() string {
	if d := os.TempDir(); len(d) <= 30 {
		return d
	}
	return "/tmp"
}

func isDir(p string) bool {
	fi, err := os.Stat(p)
	return err == nil && fi.IsDir()
}

// Ensure creates the roots and their fixed subdirectories, all 0700. One that
// belongs to another user, that others may write to, or that a link of another
// user leads to is refused, and nothing is made below it; see makeOwn.
func (l Layout) Ensure() error {
	for _, d := range []string{
		l.Config, l.Data, l.Machines(), l.Images(), l.Backups(), l.State, l.VMs(), l.Records(), l.Journal(), l.Logs(), l.SSH(),
		l.Runtime, l.ControlDir(), filepath.Join(l.Runtime, "vm"),
	} {
		if err := makeOwn(d); err != nil {
			return err
		}
	}
	// It is ours alone, so it cannot be replaced between the two.
	if fi, err := os.Stat(l.Runtime); err != nil || fi.Mode().Perm()&0o077 != 0 {
		return errors.Join(err, os.Chmod(l.Runtime, 0o700))
	}
	return nil
}

// ConfigFile is config.toml: configured backends and defaults.
func (l Layout) ConfigFile() string { return filepath.Join(l.Config, "config.toml") }

// Machines holds one directory per declared machine.
func (l Layout) Machines() string {
	if l.MachinesDir != "" {
		return l.MachinesDir
	}
	return filepath.Join(l.Data, "machines")
}

// LastMachines is a file with the Machines of the last daemon; absent = they were in Data.
func (l Layout) LastMachines() string { return filepath.Join(l.State, "machines") }

// Images holds one directory per image id.
func (l Layout) Images() string { return filepath.Join(l.Data, "images") }

// Flake is the user's copy of the flake that NixOS images are built from.
func (l Layout) Flake() string { return filepath.Join(l.Data, "flake") }

// Backups holds the archives that backup makes.
func (l Layout) Backups() string { return filepath.Join(l.Data, "backups") }

// VMs holds the state of realised VMs: disks, identity medium, logs.
func (l Layout) VMs() string { return filepath.Join(l.State, "vms") }

// VM is the state directory of one VM.
func (l Layout) VM(name string) string { return filepath.Join(l.VMs(), name) }

// Libvirt holds the disks of the VMs of one libvirt backend on this host, one
// directory per VM.
func (l Layout) Libvirt(backend string) string { return filepath.Join(l.State, "libvirt", backend) }

// Records holds one small file per realised VM: which backend and image it has.
func (l Layout) Records() string { return filepath.Join(l.State, "records") }

// Record is the record of one VM.
func (l Layout) Record(name string) string { return filepath.Join(l.Records(), name+".json") }

// Journal holds one append-only file per unfinished operation.
func (l Layout) Journal() string { return filepath.Join(l.State, "journal") }

// Pull is the directory of the quarantines of branches that are being pulled, one for
// each machine.
func (l Layout) Pull() string { return filepath.Join(l.State, "pull") }

// Reserve is a file that keeps some space back on the disk of the state: it goes
// when the disk is full and something is to be removed.
func (l Layout) Reserve() string { return filepath.Join(l.State, "reserve") }

// Logs holds the daemon's log.
func (l Layout) Logs() string { return filepath.Join(l.State, "log") }

// SSH holds our ssh config, known_hosts and client key.
func (l Layout) SSH() string { return filepath.Join(l.State, "ssh") }

// SSHConfig is the file of Host blocks that the user's configuration includes.
func (l Layout) SSHConfig() string { return filepath.Join(l.SSH(), "config") }

// DaemonLog is the log of a daemon that was started in the background.
func (l Layout) DaemonLog() string { return filepath.Join(l.Logs(), "nixvmd.log") }

// Socket is where the daemon listens.
func (l Layout) Socket() string { return filepath.Join(l.Runtime, "nixvmd.sock") }

// ControlDir holds ssh ControlMaster sockets.
func (l Layout) ControlDir() string { return filepath.Join(l.Runtime, "cm") }

// ControlSocket is the ControlPath for one SSH host name and one account in the
// guest: a connection as one account must never be used for another. The host is
// a short hash, because names may have 63 characters and ssh allows a path of 90.
// The account may be ssh's token %r.
func (l Layout) ControlSocket(host, account string) string {
	return l.HostControlSocket(host) + "-" + account
}

// HostControlSocket is what the control sockets of an SSH host name begin with. By
// itself it was the ControlPath of every account in versions that knew no better;
// a connection made by one may be open still.
func (l Layout) HostControlSocket(host string) string {
	return filepath.Join(l.ControlDir(), hash(host))
}

// LibvirtSSH holds the sockets of the ssh process that connects to the host of one
// libvirt backend. The name is a short hash, because ssh allows a path of 90.
func (l Layout) LibvirtSSH(backend string) string {
	return filepath.Join(l.Runtime, "lv", hash(backend))
}

// VMRuntime is the directory of one VM's sockets (QMP, agent, console) where the
// directory of the VM cannot hold them, named by a short hash of the machine's name.
func (l Layout) VMRuntime(name string) string {
	return filepath.Join(l.Runtime, "vm", hash(name))
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:5])
}
