package archive

import (
	"io"
	"testing"
)

// BenchmarkWrite measures the writing of a disk that does not compress to nothing.
func BenchmarkWrite(b *testing.B) {
	const size = 256 << 20
	b.SetBytes(size)
	for b.Loop() {
		if err := Write(io.Discard, manifest(size), nil, io.LimitReader(&text{}, size)); err != nil {
			b.Fatal(err)
		}
	}
}

// text is half as long when it is compressed.
type text struct{ x uint32 }

func (t *text) Read(p []byte) (int, error) {
	for i := range p {
		if i%64 < 32 {
			t.x = t.x*1664525 + 1013904223
			p[i] = byte(t.x >> 24)
		} else {
			p[i] = byte(i)
		}
	}
	return len(p), nil
}
