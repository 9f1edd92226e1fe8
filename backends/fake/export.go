package fake

import (
	"bytes"
	"context"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/qcow2"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/internal/transfer"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Export reads out a guest's disk, whose content is at its beginning.
func (b *Backend) Export(ctx context.Context, from backends.Source, read func(backends.Disk) error) error {
	if err := names.Machine(from.VM.Name); err != nil {
		return err
	}
	g, err := b.read(ctx, from.VM)
	if err == nil && b.config.Fault != nil {
		err = b.config.Fault("export", from.VM.Name)
	}
	if err != nil {
		return err
	}
	content := g.Content
	switch at := g.find(from.Snapshot); {
	case from.Snapshot == "" && !g.off():
		return refusal.Running(from.VM.Name, "its disk is read out")
	case from.Snapshot != "" && at < 0:
		return refusal.SnapshotNotFound(from.VM.Name, from.Snapshot)
	case from.Snapshot != "":
		content = g.Snapshots[at].Content
	}
	return read(qcow2.Plain([]byte(content), g.Disk))
}

// Import makes a stopped guest with the content of a disk.
func (b *Backend) Import(ctx context.Context, spec backends.Spec, disk backends.Disk, report progress.Reporter) error {
	if err := backends.CheckSpec(b, spec); err != nil {
		return err
	}
	if err := refusal.Shrunk(disk.Size, spec.DiskBytes); err != nil {
		return err
	}
	r := realises("import", spec)
	var err error
	if r.Text, err = contentOf(ctx, disk, report); err != nil {
		return err
	}
	return b.place(ctx, r, report)
}

// RewriteDisk makes the content of a guest's disk that of another one.
func (b *Backend) RewriteDisk(ctx context.Context, ref backends.Ref, disk backends.Disk, report progress.Reporter) error {
	if err := names.Machine(ref.Name); err != nil {
		return err
	}
	g, err := b.read(ctx, ref)
	if err != nil {
		return err
	}
	if disk.Size > g.Disk {
		return problem.New(problem.SizeInvalid, "the disk of %s is smaller", ref.Name)
	}
	content, err := contentOf(ctx, disk, report)
	if err != nil {
		return err
	}
	return b.do(ctx, request{Method: "rewrite", Name: ref.Name, UUID: ref.UUID, Text: content})
}

// contentOf is what a disk has at its beginning.
func contentOf(ctx context.Context, disk backends.Disk, report progress.Reporter) (string, error) {
	var file bytes.Buffer
	if err := transfer.Receive(ctx, &file, disk, report); err != nil {
		return "", err
	}
	image, err := qcow2.Open(bytes.NewReader(file.Bytes()), "")
	if err != nil {
		return "", err
	}
	begin := make([]byte, 64<<10)
	if _, err := image.ReadAt(begin, 0); err != nil {
		return "", err
	}
	return strings.TrimRight(string(begin), "\x00"), nil
}
