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

// mediumVolume is the file of a VM's identity medium. There is one per VM: a new one takes
// its place, but for one that a running guest gets, which is otherMedium. The next one has
// this name again.
func (b *Backend) mediumVolume(uuid string) string {
	return b.config.Images + ":iso/nixvm-" + b.owner.ID + "-" + strings.ToLower(uuid) + ".iso"
}

// otherMedium is the name of the two that volume does not have.
func (b *Backend) otherMedium(volume, uuid string) string {
	first := b.mediumVolume(uuid)
	if volume != first {
		return first
	}
	return strings.TrimSuffix(first, ".iso") + "-b.iso"
}

// mediumIn is the volume of the identity medium that a VM has.
func (b *Backend) mediumIn(c conf, uuid string) string {
	volume, _, _ := strings.Cut(c[mediumDrive], ",")
	if first := b.mediumVolume(uuid); volume != b.otherMedium(first, uuid) {
		return first
	}
	return volume
}

// mediumDrive is the CD drive of the identity medium. It is on the bus of the disks: the
// kernels of the cloud images of Debian have no driver for those of IDE and SATA in q35.
const mediumDrive = "scsi2"

// insertMedium sets the options of the CD drive, with a volume, and the boot order, for a
// VM whose configuration is c. Earlier versions had the medium in ide2.
func (b *Backend) insertMedium(p pve.Params, c conf, volume string) {
	p[mediumDrive], p["boot"] = volume+",media=cdrom", "order=scsi0"
	if strings.HasPrefix(c["ide2"], b.config.Images+":iso/nixvm-") {
		p["delete"] = "ide2"
	}
}

// mediumSum is what tells one medium from another.
func mediumSum(medium []byte) string {
	sum := sha256.Sum256(medium)
	return hex.EncodeToString(sum[:])
}

// uploadMedium puts the identity medium of a VM on a node's storage for uploads.
func (b *Backend) uploadMedium(ctx context.Context, node string, spec backends.Spec) error {
	return b.uploadTo(ctx, node, b.mediumVolume(spec.UUID), spec.Identity)
}

// uploadTo uploads an ISO image. The same may be uploaded again: it takes the place of the
// former one.
func (b *Backend) uploadTo(ctx context.Context, node, volume string, medium []byte) error {
	_, name, _ := strings.Cut(volume, ":iso/")
	u := pve.Upload{
		Node: node, Storage: b.config.Images, Content: "iso", Name: name, SHA256: mediumSum(medium), Bytes: int64(len(medium)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(medium)), nil },
	}
	err := b.send(ctx, u, volume, nil)
	if pve.Lost(err) && ctx.Err() == nil {
		err = b.send(ctx, u, volume, nil)
	}
	return err
}

// dropMedium removes the identity media of a VM.
func (b *Backend) dropMedium(ctx context.Context, node, uuid string) {
	first := b.mediumVolume(uuid)
	b.dropISO(ctx, node, first, b.otherMedium(first, uuid))
}

// dropISO removes those of the volumes that are there.
func (b *Backend) dropISO(ctx context.Context, node string, volumes ...string) {
	clean, cancel := afterwards(ctx)
	defer cancel()
	there, err := b.volumes(clean, node, b.config.Images, "iso")
	if err != nil {
		b.log.Warn("an identity medium may be left", "node", node, "error", err)
		return
	}
	for _, v := range volumes {
		if _, is := there[v]; is {
			b.deleteVolume(clean, node, v)
		}
	}
}
