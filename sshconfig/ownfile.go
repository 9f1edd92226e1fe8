package sshconfig

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/nixvm/nixvm/internal/atomicfile"
)

const header = `# Written by nixvmd, two entries per VM. Do not edit: this file is rewritten when a VM
# changes. Put your own settings for these hosts into the file that includes this
# one; they apply to the options that are not set here.
`

// render is the text of our configuration.
func render(blocks []block) []byte {
	var b bytes.Buffer
	b.WriteString(header)
	for _, bl := range blocks {
		b.WriteString("\n" + bl.text)
	}
	return b.Bytes()
}

// split is the opposite of render: the blocks of a file that render made. Of a
// file that was edited by hand it returns what follows each Host line.
func split(data []byte) map[string]string {
	blocks := map[string]string{}
	rest := "\n" + string(data)
	_, rest, more := strings.Cut(rest, "\nHost ")
	for more {
		var text string
		text, rest, more = strings.Cut(rest, "\nHost ")
		alias, _, _ := strings.Cut(text, "\n")
		blocks[strings.TrimSpace(alias)] = "Host " + strings.TrimRight(text, "\n") + "\n"
	}
	return blocks
}

// ownFiles are our two files as they were before a change; nil = no such file.
type ownFiles struct{ config, knownHosts []byte }

func (c *Config) readOwn() (ownFiles, error) {
	var o ownFiles
	var err error
	if o.config, err = readOptional(c.ConfigFile()); err != nil {
		return o, err
	}
	o.knownHosts, err = readOptional(c.KnownHostsFile())
	return o, err
}

func readOptional(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && data == nil {
		data = []byte{}
	}
	return data, err
}

// writeOwn makes our files those of next; what is equal already is not written.
func (c *Config) writeOwn(prev, next ownFiles) error {
	if err := writeOptional(c.KnownHostsFile(), prev.knownHosts, next.knownHosts); err != nil {
		return err
	}
	return writeOptional(c.ConfigFile(), prev.config, next.config)
}

func writeOptional(path string, prev, next []byte) error {
	switch {
	case next == nil:
		return atomicfile.Remove(path)
	case prev != nil && bytes.Equal(prev, next):
		return nil
	}
	return atomicfile.Write(path, next, 0o600)
}
