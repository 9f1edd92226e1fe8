package trial

import (
	"fmt"
	"io"
)

// cpioWriter writes the "newc" archive that the kernel unpacks as its initrd
// (Documentation/driver-api/early-userspace/buffer-format.rst). The first error
// stays.
type cpioWriter struct {
	w   io.Writer
	ino int
	err error
}

func (c *cpioWriter) dir(name string) { c.entry(name, 0o040755, nil) }
func (c *cpioWriter) file(name string, perm uint32, content []byte) {
	c.entry(name, 0o100000|perm, content)
}
func (c *cpioWriter) trailer() { c.entry("TRAILER!!!", 0, nil) }

func (c *cpioWriter) entry(name string, mode uint32, content []byte) {
	c.ino++
	header := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		c.ino, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	c.write([]byte(header + name + "\x00"))
	c.pad(len(header) + len(name) + 1)
	c.write(content)
	c.pad(len(content))
}

func (c *cpioWriter) pad(n int) { c.write(make([]byte, -n&3)) }

func (c *cpioWriter) write(p []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(p)
	}
}
