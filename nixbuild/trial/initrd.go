package trial

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// drivers lists what the initrd loads, by the file that names the list there.
var drivers = map[string][]string{
	"virtio": {"virtio_pci", "virtio_blk"},
	"scsi":   {"virtio_scsi", "sd_mod"},
}

// makeInitrd returns the initrd for the kernel in the tree: busybox, the drivers
// of the boot disk in loading order, and our init. It is 1 MB where Debian's is
// 15: it is read and unpacked at every boot.
func makeInitrd(tree string) ([]byte, error) {
	modules, err := kernelModules(tree)
	if err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	z, _ := gzip.NewWriterLevel(&raw, gzip.BestCompression)
	c := &cpioWriter{w: z}
	for _, dir := range []string{"bin", "modules", "proc", "sys", "dev", "run", "sysroot"} {
		c.dir(dir)
	}
	busybox, err := os.ReadFile(filepath.Join(tree, "usr/bin/busybox"))
	if err != nil {
		return nil, err
	}
	c.file("bin/busybox", 0o755, busybox)
	for _, name := range []string{"init", "probe"} {
		data, err := recipe.ReadFile("initrd/" + name)
		if err != nil {
			return nil, err
		}
		c.file(name, 0o755, data)
	}
	if err := addModules(c, modules); err != nil {
		return nil, err
	}
	c.trailer()
	if c.err != nil {
		return nil, c.err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return raw.Bytes(), nil
}

func addModules(c *cpioWriter, modules moduleTree) error {
	added := map[string]bool{}
	for _, list := range []string{"virtio", "scsi"} {
		var order []string
		for _, name := range drivers[list] {
			for _, file := range modules.closure(name) {
				if added[file] {
					continue
				}
				added[file] = true
				data, err := os.ReadFile(filepath.Join(modules.dir, file))
				if err != nil {
					return err
				}
				order = append(order, path.Base(file))
				c.file("modules/"+path.Base(file), 0o644, data)
			}
		}
		c.file("modules/"+list, 0o644, []byte(strings.Join(order, "\n")+"\n"))
	}
	return nil
}

// moduleTree is modules.dep of one kernel: file -> files that it needs.
type moduleTree struct {
	dir  string
	deps map[string][]string
}

func kernelModules(tree string) (moduleTree, error) {
	found, err := filepath.Glob(filepath.Join(tree, "usr/lib/modules/*/modules.dep"))
	if err != nil || len(found) != 1 {
		return moduleTree{}, fmt.Errorf("the root tree has %d kernels, want 1", len(found))
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		return moduleTree{}, err
	}
	m := moduleTree{dir: filepath.Dir(found[0]), deps: map[string][]string{}}
	for line := range strings.Lines(string(data)) {
		if file, needs, ok := strings.Cut(line, ":"); ok {
			m.deps[file] = strings.Fields(needs)
		}
	}
	return m, nil
}

// closure returns the module's file after everything that it needs; nothing if
// the kernel has it built in. modules.dep lists needs in reverse loading order.
func (m moduleTree) closure(name string) []string {
	for file, needs := range m.deps {
		if strings.TrimSuffix(path.Base(file), ".ko") != name {
			continue
		}
		var out []string
		for i := len(needs) - 1; i >= 0; i-- {
			out = append(out, needs[i])
		}
		return append(out, file)
	}
	return nil
}
