package proxmox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// canImport holds from the release on whose API imports disk images.
func (v version) canImport() bool { return v.atLeast(8, 4) }

// checkVersion warns of a release on which images are the business of an administrator.
func checkVersion(v version) []backends.Finding {
	if v.canImport() {
		return nil
	}
	return []backends.Finding{{
		Code: "proxmox.version", Severity: backends.Warning,
		Message: fmt.Sprintf("Proxmox VE %s cannot import disk images by its API: an administrator makes the template of each image, and VMs of other backends cannot be imported", v),
		Fix:     "upgrade the nodes to Proxmox VE 8.4 or later; or create a VM: its error has the commands that make the template",
	}}
}

// needImport refuses what only later releases can do.
func (b *Backend) needImport(ctx context.Context, hint string, values ...any) error {
	v, err := b.version(ctx)
	switch {
	case err != nil:
		return b.problem(err)
	case !v.canImport():
		return problem.New(problem.Unsupported, "Proxmox VE %s cannot import disk images by its API", v).WithHint(hint, values...)
	}
	return nil
}

// commands make the template of an image, by an administrator who has a shell on a node and
// has copied the disk there. It has no record, and so is never collected.
func (b *Backend) commands(storage storage, key string, img backends.Image) string {
	file := "/var/tmp/nixvm-" + key + "." + img.Format
	p := b.templateOptions(storage, key, file)
	var options []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if p[name] != "" {
			options = append(options, fmt.Sprintf("--%s '%s'", name, p[name]))
		}
	}
	return fmt.Sprintf("copy %s to a node as %s; there, as root: id=$(pvesh get /cluster/nextid) && qm create $id %s && qm template $id",
		img.Disk, file, strings.Join(options, " "))
}

// templateOptions are those of the template of an image, whose disk is copied from source.
func (b *Backend) templateOptions(storage storage, key, source string) pve.Params {
	return pve.Params{
		"name": "nixvm-image-" + key, "tags": mark{Image: key}.tags(), "pool": b.config.Pool,
		"bios": "ovmf", "machine": "q35", "cpu": "host", "ostype": "l26", "agent": "1", "serial0": "socket",
		"scsihw": "virtio-scsi-single", "boot": "order=scsi0",
		"efidisk0": b.firmware(storage),
		"scsi0":    b.disk(storage, "0,import-from="+source, "discard=on", "iothread=1"),
	}
}
