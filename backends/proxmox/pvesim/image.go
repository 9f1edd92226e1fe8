package pvesim

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"
)

// imageInfo is what qemu-img info tells of a file.
type imageInfo struct {
	format string
	size   int64 // virtual
}

// inspectImage accepts an upload like the real server does: the format that the
// extension says (upload 5), no backing file (upload 4).
func inspectImage(file, shown, extension string) (imageInfo, error) {
	f, err := os.Open(file)
	if err != nil {
		return imageInfo{}, fmt.Errorf("read an upload: %w", err)
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return imageInfo{}, fmt.Errorf("read an upload: %w", err)
	}
	if extension != ".qcow2" {
		return imageInfo{format: extension[1:], size: stat.Size()}, nil
	}
	// The header of qcow2: magic, version, backing file's offset and length,
	// cluster bits, virtual size; big endian (QEMU, docs/interop/qcow2.rst).
	var header struct {
		Magic, Version uint32
		BackingOffset  uint64
		BackingSize    uint32
		ClusterBits    uint32
		Size           uint64
	}
	if err := binary.Read(f, binary.BigEndian, &header); err != nil || header.Magic != 0x514649fb {
		return imageInfo{}, failf("qemu-img: Could not open '%s': Image is not in qcow2 format", shown)
	}
	if header.BackingOffset != 0 {
		return imageInfo{}, failf("backing file not allowed for untrusted image '%s'!", shown)
	}
	return imageInfo{format: "qcow2", size: int64(header.Size)}, nil
}

func sumFile(algorithm, file string) (string, error) {
	sum := map[string]func() hash.Hash{
		"md5": md5.New, "sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
	}[algorithm]()
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read an upload: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read an upload: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// newImage makes an empty disk.
func newImage(id, format string, vmid int, size int64) *volume {
	return &volume{
		id: id, name: id[len(storageOf(id))+1:], content: "images", format: format, vmid: vmid, size: size, used: 200 << 10, created: time.Now(),
		image: imageInfo{format: format, size: size},
	}
}

// dropFile removes the file of a volume unless another one uses it still.
func (s *Server) dropFile(v *volume) {
	if _, kept := s.config.Machines.(Disks); kept || v.file == "" {
		return // another file may lie on top of it
	}
	for _, st := range s.storages {
		for _, volumes := range st.volumes {
			for _, other := range volumes {
				if other != v && other.file == v.file {
					return
				}
			}
		}
	}
	if err := os.Remove(v.file); err != nil && !errors.Is(err, os.ErrNotExist) {
		v.file = "" // the directory goes at the end anyway
	}
}

func importMetadata(s *Server, c *call) (any, error) {
	if err := s.checkAny(c, "/storage/"+c.get("storage"), "Datastore.Audit", "Datastore.AllocateSpace"); err != nil {
		return nil, err
	}
	v, _, err := s.volumeOf(c)
	if err != nil {
		return nil, err
	}
	return map[string]any{"type": "vm", "source": "raw-disk", "create-args": map[string]any{}, "disks": map[string]any{"scsi0": v.id}}, nil // unseen
}
