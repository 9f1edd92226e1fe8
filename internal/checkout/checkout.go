// Package checkout finds the machines of nixos-vm-template: in a checkout of it, where
// earlier versions kept them, or in its configuration directory, where later ones do.
// It only reads, and trusts nothing of what it finds.
//
//	checkout     .env  machines/<name>/  output/vms/<name>/
//	config       machines/<backend>/<host>/<name>/
//	data         vms/<backend>/<host>/<name>/, or vms/<name>/
//
// The disks of a VM on libvirt are var.qcow2, or disk.qcow2 of a mutable one, in its
// directory below vms. Those of the other backends are not on this computer.
package checkout

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/internal/names"
)

// most is how many entries of a directory are looked at.
const most = 4096

// project is the name of the template's directories.
const project = "nixos-vm-template"

// Places are the directories of the user: HOME, XDG_CONFIG_HOME and XDG_DATA_HOME.
type Places struct{ Home, Config, Data string }

// Checkout is what a directory of nixos-vm-template has.
type Checkout struct {
	Dir      string
	EnvFile  string // path of the .env file, which need not exist
	Settings Settings
	Machines []Machine // by ID
}

// Machine is one machine directory.
type Machine struct {
	ID      string // the name, or backend/host/name where the layout has these; untrusted text
	Name    string // of the directory; untrusted text
	Dir     string
	Backend string // libvirt, proxmox, ...; empty = the layout does not say
	Disk    string // path of the state disk, or of the only one; empty = there is none here
	Mutable bool   // Disk is the only one
}

// Open looks for the machines of a directory. It must be an absolute path.
func Open(dir string, p Places) (*Checkout, error) {
	fi, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		return nil, invalid("%s is not a directory", dir)
	}
	c := &Checkout{Dir: dir, EnvFile: filepath.Join(dir, ".env")}
	if c.Settings, err = readEnv(c.EnvFile, p.Home); err != nil {
		return nil, err
	}
	outputs := []string{filepath.Join(dir, "output"), filepath.Join(p.Data, project)}
	if out := c.Settings["OUTPUT_DIR"]; out != "" {
		outputs = []string{within(dir, out)}
	}
	found := map[string]bool{}
	for _, root := range c.roots(p) {
		if err := c.look(root, outputs, found); err != nil {
			return nil, err
		}
	}
	if len(found) == 0 {
		return nil, hinted("name a checkout of it, or its directory in ~/.config; MACHINES_DIR in the .env file says where a checkout keeps them", "%s has no machines of nixos-vm-template", dir)
	}
	slices.SortFunc(c.Machines, func(a, b Machine) int { return strings.Compare(a.ID, b.ID) })
	return c, nil
}

// Find returns the machine of an ID, or of a name that only one has.
func (c *Checkout) Find(id string) (Machine, error) {
	var same []Machine
	for _, m := range c.Machines {
		if m.ID == id {
			return m, nil
		}
		if m.Name == id {
			same = append(same, m)
		}
	}
	switch len(same) {
	case 0:
		return Machine{}, hinted("list the directory to see what it has", "%s has no machine %.80q", c.Dir, id)
	case 1:
		return same[0], nil
	}
	return Machine{}, hinted(fmt.Sprintf("say which: %.300s or %.300s", same[0].ID, same[1].ID), "%s has several machines named %.80q", c.Dir, id)
}

// roots are the directories that may have machines.
func (c *Checkout) roots(p Places) []string {
	if dir := c.Settings["MACHINES_DIR"]; dir != "" {
		return []string{within(c.Dir, dir)}
	}
	roots := []string{filepath.Join(c.Dir, "machines")}
	if _, err := os.Stat(filepath.Join(c.Dir, "Justfile")); err == nil {
		base := filepath.Join(p.Config, project, "machines")
		if dir := c.Settings["NIXOS_VM_MACHINES_DIR"]; dir != "" {
			base = within(c.Dir, dir)
		}
		return append(roots, base)
	}
	if _, err := os.Stat(roots[0]); err != nil {
		return []string{c.Dir} // a directory of machines itself
	}
	return roots
}

// look adds the machines of a root; found has the directories of those that are there.
func (c *Checkout) look(root string, outputs []string, found map[string]bool) error {
	entries, err := subdirs(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	add := func(ids ...string) {
		m := Machine{ID: strings.Join(ids, "/"), Name: ids[len(ids)-1], Dir: filepath.Join(append([]string{root}, ids...)...)}
		if !isMachine(m.Dir) || found[m.Dir] {
			return
		}
		found[m.Dir] = true
		if len(ids) == 3 {
			m.Backend = ids[0]
		}
		for _, out := range outputs {
			for _, vm := range []string{filepath.Join(append([]string{out, "vms"}, ids...)...), filepath.Join(out, "vms", m.Name)} {
				m.findDisk(vm)
			}
		}
		c.Machines = append(c.Machines, m)
	}
	for _, name := range entries {
		if isMachine(filepath.Join(root, name)) {
			add(name)
			continue
		}
		hosts, err := subdirs(filepath.Join(root, name))
		if err != nil {
			return err
		}
		for _, host := range hosts {
			machines, err := subdirs(filepath.Join(root, name, host))
			if err != nil {
				return err
			}
			for _, m := range machines {
				add(name, host, m)
			}
		}
	}
	return nil
}

// findDisk looks for the disk in a directory, unless one is found or cannot be here. A
// machine without a valid name has none: it would be a path to anywhere.
func (m *Machine) findDisk(dir string) {
	if m.Disk != "" || m.Backend != "" && m.Backend != "libvirt" {
		return
	}
	for _, file := range []string{"var.qcow2", "disk.qcow2"} {
		path := filepath.Join(dir, file)
		if _, err := os.Lstat(path); err == nil {
			m.Disk, m.Mutable = path, file == "disk.qcow2"
			return
		}
	}
}

// isMachine tells a machine directory from one of a backend or a host.
func isMachine(dir string) bool {
	for _, file := range []string{"profile", "hostname", "machine-id", "uuid"} {
		if fi, err := os.Stat(filepath.Join(dir, file)); err == nil && !fi.IsDir() {
			return true
		}
	}
	return false
}

// subdirs lists the directories in one, without hidden ones. Links are not followed.
func subdirs(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(most + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	if len(entries) > most {
		return nil, invalid("%s has more than %d entries", dir, most)
	}
	var list []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			list = append(list, e.Name())
		}
	}
	slices.Sort(list)
	return list, nil
}

// CheckName refuses a name that no machine of nixvm can have.
func (m Machine) CheckName() error { return names.NewMachine(m.Name) }

// within is a path that may be relative to a directory.
func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}
