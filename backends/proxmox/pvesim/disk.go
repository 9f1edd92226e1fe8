package pvesim

import (
	"fmt"
	"strconv"
	"strings"
)

// efiSize is that of the variables of OVMF with 4 MiB (recorded 381: 528K).
const efiSize = 528 << 10

// makeDrive makes the volume that a drive of a request asks for, and returns the
// drive as the configuration has it.
func (s *Server) makeDrive(t *task, vm *machine, d drive) (drive, error) {
	size := newVolume.FindStringSubmatch(d.volume)
	source, imports := d.options["import-from"]
	delete(d.options, "import-from")
	switch {
	case d.volume == "none" || d.volume == "cdrom":
		return d, nil
	case strings.HasSuffix(d.volume, ":cloudinit"):
		return s.cloudinitDrive(vm, d)
	case size == nil:
		return s.attachDrive(vm, d)
	case imports:
		return s.importDrive(t, vm, d, size[1], source)
	}
	gib, err := strconv.ParseFloat(size[2], 64)
	if err != nil {
		return d, failf("unable to parse size '%s'", size[2])
	}
	bytes := int64(gib * (1 << 30))
	switch strings.TrimRight(d.key, "0123456789") {
	case "efidisk":
		bytes = efiSize
	case "tpmstate":
		bytes = 4 << 20 // schema
	}
	st, err := s.storage(size[1], vm.node)
	if err != nil {
		return d, err
	}
	v, err := s.allocateImage(t, st, vm.node, vm.id, d.options["format"], bytes)
	if err != nil {
		return d, err
	}
	delete(d.options, "format")
	d.volume, d.options["size"] = v.id, formatSize(bytes)
	if d.key == "efidisk0" { // recorded 222
		t.transferred(efiSize)
	}
	t.logf("%s: successfully created disk '%s'", d.key, d)
	return d, nil
}

// attachDrive takes a volume that exists.
func (s *Server) attachDrive(vm *machine, d drive) (drive, error) {
	v, _, err := s.volume(d.volume, vm.node)
	if err != nil {
		return d, err
	}
	if v.content == "iso" {
		d.options["media"], d.options["size"] = "cdrom", formatSize(v.size)
		return d, nil
	}
	d.options["size"] = formatSize(v.size)
	return d, nil
}

func (s *Server) cloudinitDrive(vm *machine, d drive) (drive, error) {
	st, err := s.storage(storageOf(d.volume), vm.node)
	if err != nil {
		return d, err
	}
	name := fmt.Sprintf("vm-%d-cloudinit", vm.id)
	if st.files {
		name = fmt.Sprintf("%d/%s.qcow2", vm.id, name)
	}
	v := newImage(st.Name+":"+name, "raw", vm.id, 4<<20)
	st.at(vm.node)[v.id] = v
	d.volume, d.options["media"] = v.id, "cdrom"
	return d, nil
}

// importDrive copies an image into a new volume (recorded 222).
func (s *Server) importDrive(t *task, vm *machine, d drive, storage, source string) (drive, error) {
	from, _, err := s.volume(source, vm.node)
	if err != nil {
		return d, failf("failed to stat '%s'", source) // facts 4.2, missing source
	}
	st, err := s.storage(storage, vm.node)
	if err != nil {
		return d, err
	}
	size := from.size
	if from.content == "import" {
		size = from.image.size
	}
	t.logf("create full clone of drive (%s)", source)
	format := d.options["format"]
	if format == "" {
		format = from.format // source
	}
	v, err := s.allocateImage(t, st, vm.node, vm.id, format, size)
	if err != nil {
		return d, err
	}
	t.logf("allocated target volume '%s'", v.id)
	v.data, v.file, v.used = from.data, from.file, from.used
	t.transferred(size)
	delete(d.options, "format")
	d.volume, d.options["size"] = v.id, formatSize(size)
	t.logf("%s: successfully created disk '%s'", d.key, d)
	return d, nil
}

// transferred is the progress of a copy, in steps of 4 % (recorded 222).
func (t *task) transferred(size int64) {
	for percent := int64(0); percent <= 100; percent += 4 {
		t.logf("transferred %s of %s (%.2f%%)", human(size*percent/100), human(size), float64(percent))
	}
	t.logf("transferred %s of %s (100.00%%)", human(size), human(size))
}

func human(bytes int64) string {
	n, i := float64(bytes), 0
	for n >= 1024 && i < 4 {
		n, i = n/1024, i+1
	}
	return fmt.Sprintf("%.1f %s", n, []string{"B", "KiB", "MiB", "GiB", "TiB"}[i])
}

// allocateImage makes an empty volume with the next free number, under the lock
// of its storage (recorded 670).
func (s *Server) allocateImage(t *task, st *storage, node string, id int, format string, size int64) (*volume, error) {
	lock := "storage " + st.Name
	if err := s.lockNamed(lock, t, failf("error with cfs lock 'storage-%s': got lock request timeout", st.Name)); err != nil { // unseen
		return nil, err
	}
	defer s.unlockNamed(lock)
	if format == "" || !st.files {
		format = st.format
	}
	if st.used(node)+size > st.Size && !st.files {
		return nil, failf("out of space on storage '%s'", st.Name) // unseen
	}
	s.pause(s.config.allocation())
	volumes := st.at(node)
	for n := 0; ; n++ {
		name, base := fmt.Sprintf("vm-%d-disk-%d", id, n), fmt.Sprintf("base-%d-disk-%d", id, n)
		if volumes[st.imageID(id, name, format)] != nil || volumes[st.imageID(id, base, format)] != nil || s.numbered(volumes, id, n) {
			continue
		}
		v := newImage(st.imageID(id, name, format), format, id, size)
		volumes[v.id] = v
		t.formatting(st, v, "")
		return v, nil
	}
}

// numbered tells whether the VM has a disk of that number in any format.
func (s *Server) numbered(volumes map[string]*volume, id, n int) bool {
	for _, v := range volumes {
		if v.vmid == id && (strings.Contains(v.name+".", fmt.Sprintf("vm-%d-disk-%d.", id, n)) || strings.Contains(v.name+".", fmt.Sprintf("base-%d-disk-%d.", id, n))) {
			return true
		}
	}
	return false
}

// imageID is storage:100/vm-100-disk-0.qcow2 on files, else storage:vm-100-disk-0.
func (st *storage) imageID(id int, name, format string) string {
	if st.files {
		return fmt.Sprintf("%s:%d/%s.%s", st.Name, id, name, format)
	}
	return st.Name + ":" + name
}

// formatting is what qemu-img says about a new file (recorded 222, 513, 670).
func (t *task) formatting(st *storage, v *volume, backing string) {
	switch {
	case !st.files:
	case v.format != "qcow2":
		t.logf("Formatting '%s', fmt=%s size=%d preallocation=off", st.path(v), v.format, v.size)
	case backing != "":
		t.logf("Formatting '%s', fmt=qcow2 cluster_size=131072 extended_l2=on preallocation=metadata compression_type=zlib size=%d backing_file=%s backing_fmt=qcow2 lazy_refcounts=off refcount_bits=16", st.path(v), v.size, backing)
	default:
		t.logf("Formatting '%s', fmt=qcow2 cluster_size=65536 extended_l2=off preallocation=metadata compression_type=zlib size=%d lazy_refcounts=off refcount_bits=16", st.path(v), v.size)
	}
}
