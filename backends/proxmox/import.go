package proxmox

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/boot"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/transfer"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/progress"
)

// Import uploads the state disk as an image to import, and creates the VM with a copy of
// it. The upload is deleted afterwards.
func (b *Backend) Import(ctx context.Context, spec backends.Spec, disk backends.Disk, report progress.Reporter) (err error) {
	if err := refusal.Shrunk(disk.Size, spec.DiskBytes); err != nil {
		return err
	}
	if spec.Image, err = boot.Loader(spec); err != nil {
		return err
	}
	if err := b.needImport(ctx, "upgrade the nodes to Proxmox VE 8.4 or later"); err != nil {
		return err
	}
	return b.making(ctx, spec, "import", func(ctx context.Context, at site) error {
		name := "nixvm-" + b.owner.ID + "-" + strings.ToLower(spec.UUID) + ".qcow2"
		volume := b.config.Images + ":import/" + name
		defer b.dropUpload(ctx, at.node, volume)
		if err := b.uploadDisk(ctx, at.node, name, disk, report); err != nil {
			return err
		}
		return b.create(ctx, spec, at, volume, report)
	})
}

// uploadDisk sends a state disk, which is checked on its way.
func (b *Backend) uploadDisk(ctx context.Context, node, name string, disk backends.Disk, report progress.Reporter) error {
	content, sink := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		err := transfer.Receive(ctx, sink, disk, report)
		sink.CloseWithError(err)
		checked <- err
	}()
	u := pve.Upload{
		Node: node, Storage: b.config.Images, Content: "import", Name: name, Bytes: disk.Bytes,
		Open: func() (io.ReadCloser, error) { return content, nil },
	}
	task, err := b.api.Upload(ctx, u, nil)
	content.Close() // what is left is not wanted
	invalid := <-checked
	if task != "" {
		pve.NoteTask(ctx, task)
		err = errors.Join(err, b.api.Wait(ctx, task, nil))
	}
	if invalid != nil && !errors.Is(invalid, io.ErrClosedPipe) {
		return invalid
	}
	return err
}

// dropUpload deletes what was uploaded for one VM.
func (b *Backend) dropUpload(ctx context.Context, node, volume string) {
	clean, cancel := afterwards(ctx)
	defer cancel()
	if _, there, err := b.volumeSize(clean, node, b.config.Images, "import", volume); err == nil && there {
		b.deleteVolume(clean, node, volume)
	}
}
