package vm

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/flake"
	"github.com/nixvm/nixvm/nixbuild/nixos"
	"github.com/nixvm/nixvm/nixbuild/trial"
	"github.com/nixvm/nixvm/sshconfig"
)

// OpenDefault opens the service of a layout with everything that config.toml says,
// with backends of the drivers. executable is the absolute path of nixvmd, for
// ProxyCommand.
func OpenDefault(ctx context.Context, layout paths.Layout, executable string, drivers []backends.Driver, log *slog.Logger) (*Service, error) {
	if err := layout.Ensure(); err != nil {
		return nil, problem.Disk(err)
	}
	config, err := LoadConfig(layout.ConfigFile(), drivers)
	if err != nil {
		return nil, err
	}
	machines, layout, err := openMachines(layout, config, log)
	if err != nil {
		return nil, err
	}
	ssh, err := sshconfig.Open(sshconfig.Options{
		Layout: layout, Executable: executable, ProxyArgs: proxyArgs(),
		Prefix: config.SSH.Prefix, Style: sshconfig.Style(config.SSH.Style), AcceptForwards: config.SSH.AcceptForwards,
	})
	if err != nil {
		return nil, err
	}
	list, err := openBackends(config, layout, log)
	if err != nil {
		return nil, err
	}
	s, err := Open(ctx, Options{
		Layout: layout, Config: config, Machines: machines, SSH: ssh, Backends: list, Log: log,
		Images: openImages(layout, log),
	})
	if err != nil {
		return nil, errors.Join(err, closeAll(list))
	}
	return s, nil
}

// openMachines opens the machines where the configuration has them. It returns the
// layout with that place.
func openMachines(layout paths.Layout, config Config, log *slog.Logger) (*machine.Store, paths.Layout, error) {
	layout, err := withMachines(layout, config.Machines)
	if err != nil {
		return nil, layout, err
	}
	if err := layout.Ensure(); err != nil {
		return nil, layout, problem.Disk(err)
	}
	if err := checkMachinesMoved(layout); err != nil {
		return nil, layout, err
	}
	machines, err := machine.OpenStore(layout.Machines())
	if err == nil {
		rememberMachines(layout, log)
	}
	return machines, layout, err
}

// openImages opens the image store with all that can build for it.
func openImages(layout paths.Layout, log *slog.Logger) *nixbuild.Store {
	dir := layout.Images()
	cache := nixbuild.CacheDir(dir)
	own := nixos.NewFlake(layout.Flake(), flake.Files, func(text string) { log.Warn("flake updated", "note", text) })
	return nixbuild.OpenStore(dir, nixos.New(own, nixbuild.RootsDir(dir)), trial.New(cache), trial.NewTiny(cache))
}

// proxyArgs makes ssh's ProxyCommand find this daemon: ssh does not pass our
// environment on.
func proxyArgs() []string {
	home := os.Getenv("NIXVM_HOME")
	if home == "" {
		return nil
	}
	if abs, err := filepath.Abs(home); err == nil {
		home = abs
	}
	return []string{"--home", home}
}

func openBackends(config Config, layout paths.Layout, log *slog.Logger) ([]backends.Backend, error) {
	var list []backends.Backend
	for name, c := range config.Backends {
		b, err := c.Open(backends.Site{Name: name, Layout: layout, Log: log})
		if err != nil {
			return nil, errors.Join(err, closeAll(list))
		}
		list = append(list, b)
	}
	return list, nil
}

func closeAll(list []backends.Backend) error {
	var all []error
	for _, b := range list {
		all = append(all, b.Close())
	}
	return errors.Join(all...)
}
