package qemu

import (
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// checkSpec refuses what cannot become a VM, before anything is touched. The
// core has validated the machine; this is about what reaches QEMU from here.
func checkSpec(s backends.Spec) error {
	if err := checkName(s.Name); err != nil {
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
	case s.SSHPort < 0 || s.SSHPort > 65535:
		return problem.New(problem.MachineInvalid, "%d is not a port", s.SSHPort)
	case strings.ContainsAny(s.Image.Cmdline, "\n\x00"):
		return problem.New(problem.ImageCorrupt, "the image's kernel command line has more than one line")
	}
	return nil
}

// checkImage refuses an image whose files are not there.
func checkImage(i backends.Image) error {
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
			return problem.New(problem.ImageNotFound, "the image's file is not there: %w", err).
				WithHint("build the image again")
		}
	}
	return nil
}
