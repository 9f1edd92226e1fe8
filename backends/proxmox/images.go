package proxmox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// PrepareImage makes the template of an image, from an upload: once for all VMs of the
// image, of any installation that uses the cluster.
func (b *Backend) PrepareImage(ctx context.Context, img backends.Image, report progress.Reporter) error {
	key := imageKey(img.ID)
	unlock, err := b.images.Lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	if ctx, err = b.withTasks(ctx); err != nil {
		return err
	}
	s, err := b.scan(ctx)
	if err != nil {
		return err
	}
	node, err := b.templateNode(ctx, s, key)
	if err != nil || node == "" {
		return err
	}
	if there := len(s.templates(key)) > 0; there && b.needImport(ctx, "") != nil {
		return nil // a VM that is to be on another node needs an administrator
	}
	return b.prepareOn(ctx, s, node, img, report)
}

// prepareOn makes the template of an image on a node.
func (b *Backend) prepareOn(ctx context.Context, s scan, node string, img backends.Image, report progress.Reporter) error {
	key := imageKey(img.ID)
	if err := backends.CheckImage(img); err != nil {
		return err
	}
	if img.NoBootLoader {
		return problem.New(problem.ImageUnsupported, "image %s has no boot loader", img.ID).WithHint("this backend boots from disks only; use another image, or another backend")
	}
	storage, err := b.diskStorage(ctx, node)
	if err != nil {
		return err
	}
	if err := b.needImport(ctx, "%s", b.commands(storage, key, img)); err != nil {
		return err
	}
	if err := b.dropHalfTemplates(ctx, s, key); err != nil {
		return err
	}
	volume, err := b.upload(ctx, node, key, img, report)
	if err != nil {
		return b.failed(problem.ImageUnsupported, "upload image "+img.ID, err)
	}
	return b.failed(problem.ImageUnsupported, "import image "+img.ID, b.makeTemplate(ctx, node, storage, key, img, volume, report))
}

// file is an upload of a file of this host.
func fileUpload(path string) (pve.Upload, error) {
	info, err := os.Stat(path)
	if err != nil {
		return pve.Upload{}, err
	}
	return pve.Upload{Bytes: info.Size(), Open: func() (io.ReadCloser, error) { return os.Open(path) }}, nil
}

// upload sends the disk of an image, unless it is there, and returns its volume.
func (b *Backend) upload(ctx context.Context, node, key string, img backends.Image, report progress.Reporter) (string, error) {
	u, err := fileUpload(img.Disk)
	if err != nil {
		return "", err
	}
	u.Node, u.Storage, u.Content, u.Name = node, b.config.Images, "import", "nixvm-"+key+"."+img.Format
	volume := u.Storage + ":import/" + u.Name
	bytes, there, err := b.volumeSize(ctx, u.Node, u.Storage, "import", volume)
	if err != nil || there && bytes == u.Bytes {
		return volume, err
	}
	if u.SHA256, err = hashFile(ctx, img.Disk); err != nil {
		return "", err
	}
	err = b.send(ctx, u, volume, func(n int64) {
		report.Report(progress.Update{Vertex: "upload", Message: "uploading the image", Current: n, Total: u.Bytes, Unit: "bytes"})
	})
	report.Report(progress.Update{Vertex: "upload", Done: true})
	return volume, err
}

// send uploads, and waits until the file is in its place. If the answer is lost, the volume
// is looked for.
func (b *Backend) send(ctx context.Context, u pve.Upload, volume string, sent func(int64)) error {
	task, err := b.api.Upload(ctx, u, sent)
	if err == nil {
		pve.NoteTask(ctx, task)
		return b.api.Wait(ctx, task, nil)
	}
	if !pve.Lost(err) || ctx.Err() != nil || u.Content != "import" {
		return err
	}
	bytes, there, lookErr := b.volumeSize(ctx, u.Node, u.Storage, u.Content, volume)
	if lookErr == nil && there && bytes == u.Bytes {
		return nil
	}
	return err
}

// volumeSize looks for a volume on a storage.
func (b *Backend) volumeSize(ctx context.Context, node, storage, content, volume string) (bytes int64, there bool, err error) {
	all, err := b.volumes(ctx, node, storage, content)
	bytes, there = all[volume]
	return bytes, there, err
}

// volumes are those of a content type on a storage, with their sizes in bytes.
func (b *Backend) volumes(ctx context.Context, node, storage, content string) (map[string]int64, error) {
	var list []struct {
		VolID string
		Size  int64
	}
	if err := b.api.Get(ctx, pve.Path("nodes", node, "storage", storage, "content"), pve.Params{"content": content}, &list); err != nil {
		return nil, err
	}
	all := map[string]int64{}
	for _, v := range list {
		all[v.VolID] = v.Size
	}
	return all, nil
}

// hashFile is the SHA-256 of a file, in hexadecimal.
func hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	for {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		n, err := io.CopyN(h, f, 16<<20)
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// fileStorages keep disks as files, which need the format qcow2 for snapshots and thin
// clones. On the others each disk is a volume, and has no format to choose.
var fileStorages = []string{"dir", "nfs", "cifs", "glusterfs"}

// format of a new disk; empty where there is none to choose.
func (s storage) format() string {
	if slices.Contains(fileStorages, s.Type) {
		return "qcow2"
	}
	return ""
}

// disk is the value of a new disk: what is "0,import-from=..." or a size in GiB.
func (b *Backend) disk(storage storage, what string, options ...string) string {
	all := []string{storage.Storage + ":" + what}
	if format := storage.format(); format != "" {
		all = append(all, "format="+format)
	}
	return strings.Join(append(all, options...), ",")
}

// firmware is the disk of the UEFI variables.
func (b *Backend) firmware(storage storage) string {
	return b.disk(storage, "1", "efitype=4m", "pre-enrolled-keys=0")
}

// diskStorage is the storage for the disks of VMs, on a node.
func (b *Backend) diskStorage(ctx context.Context, node string) (storage, error) {
	all, err := b.storages(ctx, node)
	if err != nil {
		return storage{}, err
	}
	s, ok := all[b.config.Disks]
	if !ok {
		return s, problem.New(problem.ConfigInvalid, "node %s has no storage %s that the token may see", node, b.config.Disks).
			WithHint("nixvmd doctor says what is missing")
	}
	return s, nil
}

// makeTemplate makes a VM whose boot disk is an imported volume, and converts it. All VMs
// of the image inherit its machine.
func (b *Backend) makeTemplate(ctx context.Context, node string, storage storage, key string, img backends.Image, volume string, report progress.Reporter) error {
	p := b.templateOptions(storage, key, volume)
	p["description"] = record{Owner: b.owner.ID, Image: img.ID}.describe("Image " + img.ID + " of nixvm. VMs are linked clones of it.")
	var upid pve.UPID
	id, err := b.allocate(ctx, func(id int) (err error) {
		p["vmid"] = itoa(id)
		upid, err = b.api.Begin(ctx, pve.Start{Method: "POST", Path: pve.Path("nodes", node, "qemu"), Params: p, Node: node, Type: "qmcreate", ID: itoa(id)})
		return err
	})
	if err != nil {
		return err
	}
	e := entry{node: node, id: id, name: p["name"]}
	report.Message("import", "importing the image")
	err = b.finish(ctx, upid, logTo(report, "import"))
	if err == nil {
		err = b.run(ctx, e.task("POST", "qmtemplate", nil, "template"))
	}
	if err == nil {
		report.Report(progress.Update{Vertex: "import", Done: true})
		return nil
	}
	return b.undo(ctx, e, upid, err)
}

// finish waits for a task whose request has been answered.
func (b *Backend) finish(ctx context.Context, upid pve.UPID, log func(string)) error {
	if upid == "" {
		return nil
	}
	pve.NoteTask(ctx, upid)
	return b.api.Wait(ctx, upid, log)
}

// undo removes what a request has made that has failed, or was cancelled, with err. upid is
// its task, which may still run.
func (b *Backend) undo(ctx context.Context, e entry, upid pve.UPID, err error) error {
	clean, cancel := afterwards(ctx)
	defer cancel()
	if ctx.Err() != nil && upid != "" {
		_ = b.api.StopTask(clean, upid) // it may have ended
		_ = b.api.Wait(clean, upid, nil)
	}
	rest := b.remove(clean, e)
	switch {
	case rest != nil && err == nil:
		return rest
	case rest != nil:
		return fmt.Errorf("%w; VM %d on node %s is left and has to be removed: %w", err, e.id, e.node, rest)
	}
	return err
}

// remove deletes a VM or template with its disks. None: not an error.
func (b *Backend) remove(ctx context.Context, e entry) error {
	err := b.run(ctx, e.task("DELETE", "qmdestroy", pve.Params{"purge": "1", "destroy-unreferenced-disks": "1"}))
	if pve.NoVM(err) {
		return nil
	}
	return err
}

// dropHalfTemplates removes what a PrepareImage of this installation was cut off from.
func (b *Backend) dropHalfTemplates(ctx context.Context, s scan, key string) error {
	for _, e := range s.entries {
		if !e.half() || e.mark.Image != key || e.name != "nixvm-image-"+key {
			continue
		}
		c, err := b.conf(ctx, e)
		if pve.NoVM(err) {
			continue
		}
		if err != nil {
			return b.problem(err)
		}
		if readRecord(c["description"]).Owner != b.owner.ID {
			continue // another installation may be at it
		}
		if err := b.remove(ctx, e); err != nil {
			return b.failed(problem.Internal, "remove the rest of an import", err)
		}
	}
	return nil
}

// CollectImages removes templates that no VM was cloned from, and their uploads.
func (b *Backend) CollectImages(ctx context.Context, claim func(id string) (string, func(), error), dryRun bool) ([]backends.ImageCopy, error) {
	s, err := b.scan(ctx)
	if err != nil {
		return nil, err
	}
	var copies []backends.ImageCopy
	for _, e := range s.entries {
		if !e.template || e.mark.Image == "" {
			continue
		}
		c, err := b.conf(ctx, e)
		if err != nil {
			return copies, b.problem(err)
		}
		r := readRecord(c["description"])
		if r.Image == "" || r.Owner != b.owner.ID {
			continue
		}
		one, err := b.collect(ctx, e, c, r.Image, claim, dryRun)
		if copies = append(copies, one); err != nil {
			return copies, err
		}
	}
	return copies, nil
}

// collect removes one template. The server refuses one that has linked clones.
func (b *Backend) collect(ctx context.Context, e entry, c conf, id string, claim func(string) (string, func(), error), dryRun bool) (backends.ImageCopy, error) {
	one := backends.ImageCopy{ID: id, Bytes: parseSize(c.option("scsi0", "size"))}
	why, release, err := claim(id)
	if one.Kept = why; err != nil || why != "" {
		return one, err
	}
	defer release()
	if dryRun {
		return one, nil
	}
	err = b.remove(ctx, e)
	if err != nil && strings.Contains(err.Error(), "still in use by linked clone") {
		one.Kept = "VMs on the cluster are linked clones of it"
		return one, nil
	}
	if err != nil {
		return one, b.failed(problem.Internal, "remove the template of image "+id, err)
	}
	for _, format := range []string{"qcow2", "raw"} {
		b.deleteVolume(ctx, e.node, b.config.Images+":import/nixvm-"+e.mark.Image+"."+format)
	}
	return one, nil
}

// deleteVolume removes an upload, as far as the token may: what is left takes space, and
// is found by Check, which says which privilege is missing.
func (b *Backend) deleteVolume(ctx context.Context, node, volume string) {
	storage, _, _ := strings.Cut(volume, ":")
	start := pve.Start{Method: "DELETE", Path: pve.Path("nodes", node, "storage", storage, "content", volume), Node: node}
	var err error
	for range lockAttempts { // what is gone cannot be deleted twice
		if err = b.api.Run(ctx, start, nil); !pve.Lost(err) {
			break
		}
	}
	if err != nil {
		b.log.Warn("an upload cannot be deleted", "volume", volume, "error", err)
	}
}
