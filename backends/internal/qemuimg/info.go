package qemuimg

import (
	"context"
	"encoding/json"
	"fmt"
)

// Info is what we read of qemu-img info --output=json and of the same structure in
// QMP (ImageInfo in qapi/block-core.json). Sizes are in bytes.
type Info struct {
	Format      string     `json:"format"`
	VirtualSize int64      `json:"virtual-size"`
	ActualSize  int64      `json:"actual-size"` // that the file takes on its disk
	Backing     string     `json:"full-backing-filename"`
	Snapshots   []Snapshot `json:"snapshots"`
}

// Snapshot is an internal snapshot of a qcow2 (SnapshotInfo in the same schema).
// qemu-img takes a name that is a number for an ID, so give it the ID.
type Snapshot struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	DateSec  int64  `json:"date-sec"`
	DateNsec int64  `json:"date-nsec"`
}

// Info reads an image that no process writes to. format is "qcow2" or "raw", never
// guessed: a raw disk whose guest wrote a qcow2 header would name host files.
func (t *Tool) Info(ctx context.Context, path, format string) (Info, error) {
	return t.info(ctx, "-f", format, path)
}

// InfoShared reads a qcow2 that another process may have open for writing. A list of
// snapshots that is being written just then is an error; ask again.
func (t *Tool) InfoShared(ctx context.Context, path string) (Info, error) {
	return t.info(ctx, "-U", "-f", "qcow2", path)
}

func (t *Tool) info(ctx context.Context, args ...string) (Info, error) {
	var i Info
	out, err := t.output(ctx, "info", append([]string{"--output=json"}, args...)...)
	if err != nil {
		return i, err
	}
	if err := json.Unmarshal(out, &i); err != nil {
		return i, fmt.Errorf("qemu-img info: %w", err)
	}
	return i, nil
}
