package pvesim

import (
	"strconv"
	"strings"
)

// resize finds in the task what is wrong (recorded 59, 79; facts 4.3).
func resize(s *Server, c *call) (any, error) {
	if err := checkSkipLock(c); err != nil {
		return nil, err
	}
	id, node, key, text := c.number("vmid"), c.node(), c.get("disk"), c.get("size")
	digest := c.get("digest")
	work := func(t *task) error {
		return s.locked(t, id, node, func(vm *machine) error {
			if digest != "" && digest != vm.digest() {
				return errDigest()
			}
			return s.grow(t, vm, key, text)
		})
	}
	return s.run(c, node, "resize", strconv.Itoa(id), work), nil // a UPID since 8.2 (facts 1)
}

func (s *Server) grow(t *task, vm *machine, key, text string) error {
	d, ok := vm.drive(key)
	if !ok {
		return failf("disk '%s' does not exist", key) // recorded 59
	}
	v, _, err := s.volume(d.volume, vm.node)
	if err != nil {
		return err
	}
	size, err := parseSize(strings.TrimPrefix(text, "+"), 1)
	if err != nil {
		return err
	}
	if strings.HasPrefix(text, "+") {
		size += v.size
	}
	switch {
	case size < v.size:
		return failf("shrinking disks is not supported") // facts 4.3
	case size == v.size:
		return nil // source
	}
	if vm.running {
		if err := s.live(vm, func(m Live) error { return m.Resize(key, size) }); err != nil {
			return err
		}
	}
	v.size, v.own = size, v.own && vm.running // else the next start makes a file of the new size
	d.options["size"] = formatSize(size)
	vm.conf[key] = d.String()
	if !vm.running {
		t.logf("Image resized.") // recorded 225
	}
	return nil
}
