package fake

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

// medium is an identity medium. It is compressed, because nearly all of it is zeros
// and every question about a guest reads the file with the medium in it.
type medium struct {
	Size int // uncompressed, in bytes
	Gzip []byte
}

func pack(content []byte) medium {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, _ = w.Write(content) // into memory: there is no error
	_ = w.Close()
	return medium{Size: len(content), Gzip: buf.Bytes()}
}

func (m medium) unpack() ([]byte, error) {
	if m.Size == 0 {
		return nil, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(m.Gzip))
	if err != nil {
		return nil, fmt.Errorf("read the identity medium: %w", err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read the identity medium: %w", err)
	}
	return content, nil
}
