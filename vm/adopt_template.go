package vm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/adrg/xdg"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/statedisk"
	"github.com/nixvm/nixvm/internal/checkout"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// template is a machine of nixos-vm-template that an import takes over.
type template struct {
	Dir    string `json:"dir"`    // of the checkout
	ID     string `json:"id"`     // of the machine in it
	Digest string `json:"digest"` // of the files of the machine, as they were judged
}

// openCheckout reads a directory of nixos-vm-template.
func openCheckout(dir string) (*checkout.Checkout, error) {
	c, err := checkout.Open(dir, checkout.Places{Home: xdg.Home, Config: xdg.ConfigHome, Data: xdg.DataHome})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, problem.New(problem.BadParams, "%s", problem.Path(err)).WithHint("name a checkout of nixos-vm-template, or its directory in ~/.config")
	}
	return c, err
}

// readTemplate reads the files of a machine and refuses what cannot be taken over; then
// the machine is returned, too, if it could be read.
func readTemplate(found checkout.Machine, name string) (machine.Machine, machine.Archived, error) {
	m, files, err := machine.ReadAdopted(found.Dir, found.Name)
	if err != nil {
		return m, files, err
	}
	m.Name = name
	switch {
	case found.Backend != "" && found.Backend != "libvirt":
		err = problem.New(problem.Unsupported, "the disk of %.80q is on the host of %.80q", found.Name, found.Backend).
			WithHint("only VMs on libvirt of this computer are taken over with their disks")
	case found.Disk == "":
		err = problem.New(problem.VMNotFound, "there is no disk of %.80q on this computer", found.Name).
			WithHint("copy %s to the machines of nixvm (nixvmd paths), and create a new VM from it", found.Dir)
	case found.Mutable || m.Mode == machine.Mutable:
		err = problem.New(problem.ModeUnsupported, "%.80q is mutable: its system is on its disk, and does not take the keys and the identity that nixvm gives to a VM", found.Name).
			WithHint("create a new machine, and copy your files from the old one")
	}
	return m, files, err
}

// fileDigest is that of the files of a machine.
func fileDigest(files machine.Archived) (string, error) {
	b, err := json.Marshal(files.Files)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// open reads the files of the machine, and opens its disk.
func (t *template) open() (machine.Archived, *statedisk.Disk, error) {
	c, err := openCheckout(t.Dir)
	if err != nil {
		return machine.Archived{}, nil, err
	}
	found, err := c.Find(t.ID)
	if err != nil {
		return machine.Archived{}, nil, err
	}
	_, files, err := readTemplate(found, found.Name)
	if err != nil {
		return files, nil, err
	}
	disk, err := statedisk.Open(found.Disk)
	return files, disk, err
}

// files are those that were judged.
func (t *template) files() (machine.Archived, error) {
	files, disk, err := t.open()
	if err != nil {
		return files, err
	}
	if err := disk.Close(); err != nil {
		return files, err
	}
	if digest, err := fileDigest(files); err != nil || digest != t.Digest {
		return files, errors.Join(err, problem.New(problem.MachineInvalid, "the files of %.80q have been changed meanwhile", t.ID).WithHint("repeat the request"))
	}
	return files, nil
}

// readDisk calls read with the disk.
func (t *template) readDisk(read func(backends.Disk) error) error {
	_, disk, err := t.open()
	if err != nil {
		return err
	}
	defer disk.Close()
	stream, err := disk.Stream()
	if err != nil {
		return fmt.Errorf("read the disk of %.80q: %w", t.ID, err)
	}
	return read(stream)
}
