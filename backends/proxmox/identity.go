package proxmox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

// mediumName is the file of a VM's identity medium. There is one per VM: a new one takes
// its place.
func (b *Backend) mediumName(uuid string) string {
	return "nixvm-" + b.owner.ID + "-" + strings.ToLower(uuid) + ".iso"
}

func (b *Backend) mediumVolume(uuid string) string {
	return b.config.Images + ":iso/" + b.mediumName(uuid)
}

// mediumDrive is the CD drive of the identity medium. It is on the bus of the disks: the
// kernels of the cloud images of Debian have no driver for those of IDE and SATA in q35.
const mediumDrive = "scsi2"

// insertMedium sets the options of the CD drive and the boot order, for a VM whose
// configuration is c. Earlier versions had the medium in ide2.
func (b *Backend) insertMedium(p pve.Params, c conf, uuid string) {
	p[mediumDrive], p["boot"] = b.mediumVolume(uuid)+",media=cdrom", "order=scsi0"
	if strings.HasPrefix(c["ide2"], b.config.Images+":iso/nixvm-") {
		p["delete"] = "ide2"
	}
}

// mediumSum is what tells one medium from another.
func mediumSum(medium []byte) string {
	sum := sha256.Sum256(medium)
	return hex.EncodeToString(sum[:])
}

// uploadMedium puts the identity medium of a VM on a node's storage for uploads. The same
// may be uploaded again: it takes the place of the former one.
func (b *Backend) uploadMedium(ctx context.Context, node string, spec backends.Spec) error {
	u := pve.Upload{
		Node: node, Storage: b.config.Images, Content: "iso", Name: b.mediumName(spec.UUID),
		SHA256: mediumSum(spec.Identity), Bytes: int64(len(spec.Identity)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(spec.Identity)), nil },
	}
	err := b.send(ctx, u, b.mediumVolume(spec.UUID), nil)
	if pve.Lost(err) && ctx.Err() == nil {
		err = b.send(ctx, u, b.mediumVolume(spec.UUID), nil)
	}
	return err
}
