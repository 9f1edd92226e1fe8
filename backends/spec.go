package backends

import (
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// CheckSpec refuses what cannot become a VM of a backend, before anything is touched.
// The core has validated the machine; this is about what a backend passes on.
func CheckSpec(b Backend, s Spec) error {
	if err := names.Machine(s.Name); err != nil {
		return err
	}
	if _, err := uuid.Parse(s.UUID); err != nil {
		return problem.New(problem.MachineInvalid, "UUID of %s: %w", s.Name, err)
	}
	if mac, err := net.ParseMAC(s.MAC); err != nil || len(mac) != 6 || mac[0]&1 != 0 {
		return problem.New(problem.MachineInvalid, "%q is not a MAC address for %s", s.MAC, s.Name)
	}
	switch {
	case s.MemoryMiB <= 0:
		return problem.New(problem.SizeInvalid, "%s has %d MiB of memory", s.Name, s.MemoryMiB)
	case s.VCPUs <= 0:
		return problem.New(problem.SizeInvalid, "%s has %d virtual CPUs", s.Name, s.VCPUs)
	case s.DiskBytes <= 0 || s.DiskBytes%512 != 0:
		return problem.New(problem.SizeInvalid, "the disk of %s has %d bytes", s.Name, s.DiskBytes).
			WithHint("a size is a positive multiple of 512 bytes")
	case strings.ContainsAny(s.Image.Cmdline, "\n\x00"):
		return problem.New(problem.ImageCorrupt, "the image's kernel command line has more than one line")
	}
	if _, p := PCIHostOf(b); len(s.PCIDevices) > 0 && p != nil {
		return p
	}
	return nil
}

// CheckImage refuses an image whose files are not there.
func CheckImage(i Image) error {
	if i.Format != "qcow2" && i.Format != "raw" {
		return problem.New(problem.ImageUnsupported, "images of format %q cannot be used", i.Format)
	}
	files := []string{i.Disk}
	if i.Kernel != "" {
		files = append(files, i.Kernel)
		if i.Initrd != "" {
			files = append(files, i.Initrd)
		}
	}
	for _, f := range files {
		if !filepath.IsAbs(f) {
			return problem.New(problem.ImageCorrupt, "the image's file %q has no absolute path", f)
		}
		if _, err := os.Stat(f); err != nil {
			return problem.New(problem.ImageNotFound, "the image's file does not exist: %w", err).
				WithHint("build the image again")
		}
	}
	return nil
}
