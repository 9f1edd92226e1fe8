package vm

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

// WithMachines is the layout with the machines where config.toml has them. Nothing
// else in that file is looked at: a program that only wants to know where things are
// leaves it to the daemon to refuse the rest.
func WithMachines(layout paths.Layout) (paths.Layout, error) {
	content, err := os.ReadFile(layout.ConfigFile())
	if errors.Is(err, fs.ErrNotExist) {
		return layout, nil
	}
	if err != nil {
		return layout, fmt.Errorf("read the configuration: %w", err)
	}
	var c struct {
		Machines string `toml:"machines"`
	}
	if err := toml.Unmarshal(content, &c); err != nil {
		return layout, configProblem(layout.ConfigFile(), err)
	}
	return withMachines(layout, c.Machines)
}

// withMachines lays the setting machines over a layout; empty is no setting.
func withMachines(layout paths.Layout, setting string) (paths.Layout, error) {
	if setting == "" {
		return layout, nil
	}
	bad := func(format string, args ...any) (paths.Layout, error) {
		return layout, problem.New(problem.ConfigInvalid, "%s: machines = %q: %s", layout.ConfigFile(), setting, fmt.Sprintf(format, args...)).
			WithHint("name a directory of its own, e.g. machines = \"~/.config/nixvm/machines\"")
	}
	dir := setting
	if rest, ok := strings.CutPrefix(setting, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return bad("the home directory is not known: %v", err)
		}
		dir = filepath.Join(home, rest)
	}
	if !filepath.IsAbs(dir) {
		return bad("it is neither an absolute path nor one that begins with ~/")
	}
	if strings.ContainsFunc(dir, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return bad("it has control characters")
	}
	dir = filepath.Clean(dir)
	for _, taken := range []string{layout.State, layout.Runtime, layout.Images(), layout.Backups(), layout.Flake()} {
		if inDir(dir, taken) {
			return bad("%s is for other files", taken)
		}
	}
	for _, root := range []string{layout.Config, layout.Data, layout.State, layout.Runtime} {
		if inDir(root, dir) {
			return bad("nixvm keeps other files in it: %s", root)
		}
	}
	layout.MachinesDir = dir
	return layout, nil
}

// inDir reports whether a path is dir or below it, going by the names.
func inDir(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// checkMachinesMoved refuses to work with another machines directory than last time
// while the former one has machines that the new one has not: they would be taken for
// lost, and their VMs for broken.
func checkMachinesMoved(layout paths.Layout) error {
	last := lastMachines(layout)
	if last == layout.Machines() || sameFile(last, layout.Machines()) {
		return nil
	}
	entries, err := os.ReadDir(last)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return problem.Disk(fmt.Errorf("look for machines in %s, where they were before: %w", last, err))
	}
	var left []string
	for _, e := range entries {
		if fi, err := os.Stat(filepath.Join(last, e.Name())); names.Machine(e.Name()) != nil || err != nil || !fi.IsDir() {
			continue
		}
		if _, err := os.Lstat(filepath.Join(layout.Machines(), e.Name())); err != nil {
			left = append(left, e.Name())
		}
	}
	if len(left) == 0 {
		return nil
	}
	back := fmt.Sprintf("set machines = %q again", last)
	if layout.MachinesDir = ""; last == layout.Machines() {
		back = "remove the setting machines"
	}
	return problem.New(problem.ConfigInvalid, "%s: the directory of the machines has changed, and %s still has machines: %s", layout.ConfigFile(), last, fewNames(left)).
		WithHint("move their directories from there to the new one, or %s; until then no daemon runs, and VMs keep running", back)
}

// fewNames lists some of the names, for people.
func fewNames(list []string) string {
	const most = 5
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

// lastMachines is where the machines were when a daemon ran last.
func lastMachines(layout paths.Layout) string {
	text, err := os.ReadFile(layout.LastMachines())
	if dir := strings.TrimSuffix(string(text), "\n"); err == nil && filepath.IsAbs(dir) {
		return dir
	}
	layout.MachinesDir = ""
	return layout.Machines()
}

// rememberMachines keeps where the machines are, for the next daemon. Without it the next one only
// cannot tell that the setting has changed.
func rememberMachines(layout paths.Layout, log *slog.Logger) {
	if lastMachines(layout) == layout.Machines() {
		return
	}
	if err := atomicfile.Write(layout.LastMachines(), []byte(layout.Machines()+"\n"), 0o600); err != nil {
		log.Warn("the directory of the machines is not remembered", "error", err)
	}
}

func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}
