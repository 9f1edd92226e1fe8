package archive

import (
	"errors"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// frameSize is how much a frame of zstd holds, in bytes. Frames are compressed on all
// CPUs at once, which the library does for one frame only in part.
const frameSize = 4 << 20

// compress returns a writer that compresses to w. After an error of w, writes fail.
// Close writes what is left, and does not close w.
func compress(w io.Writer) io.WriteCloser {
	n := runtime.GOMAXPROCS(0)
	c := &compressor{w: w, queue: make(chan chan []byte, n), ended: make(chan struct{})}
	c.encoders.New = func() any {
		e, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest)) // these options are valid
		return e
	}
	c.buffers.New = func() any { return new(make([]byte, 0, frameSize+frameSize/8)) }
	go c.write()
	return c
}

// buffer is an empty one, with room for a frame or its result.
func (c *compressor) buffer() []byte {
	return (*c.buffers.Get().(*[]byte))[:0] //nolint:forcetypeassert // New makes no other
}

func (c *compressor) reuse(b []byte) { c.buffers.Put(&b) }

// compressor hands frames to goroutines and writes what they return in order.
type compressor struct {
	w        io.Writer
	encoders sync.Pool
	buffers  sync.Pool        // *[]byte: of frames and of results, which are reused
	frame    []byte           // what is not a frame yet
	queue    chan chan []byte // the results, in order
	ended    chan struct{}    // closed when all has been written

	mu  sync.Mutex
	err error // of w
}

func (c *compressor) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// write writes the results until the queue is closed.
func (c *compressor) write() {
	defer close(c.ended)
	for result := range c.queue {
		b := <-result
		if c.failed() == nil {
			if _, err := c.w.Write(b); err != nil {
				c.mu.Lock()
				c.err = err
				c.mu.Unlock()
			}
		}
		c.reuse(b)
	}
}

// Write implements io.Writer.
func (c *compressor) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		if c.frame == nil {
			if err := c.failed(); err != nil {
				return done, err
			}
			c.frame = c.buffer()
		}
		n := min(len(p)-done, frameSize-len(c.frame))
		c.frame = append(c.frame, p[done:done+n]...)
		if done += n; len(c.frame) == frameSize {
			c.flush()
		}
	}
	return done, nil
}

// flush compresses the frame, and waits while as many as there are CPUs are under way.
func (c *compressor) flush() {
	frame, result := c.frame, make(chan []byte, 1)
	c.frame = nil
	c.queue <- result
	go func() {
		e := c.encoders.Get().(*zstd.Encoder) //nolint:forcetypeassert // New makes no other
		result <- e.EncodeAll(frame, c.buffer())
		c.encoders.Put(e)
		c.reuse(frame)
	}()
}

// Close implements io.Closer.
func (c *compressor) Close() error {
	if len(c.frame) > 0 {
		c.flush()
	}
	close(c.queue)
	<-c.ended
	return c.failed()
}

// errBomb is the end of what unpacks to far more than a state disk does.
var errBomb = errors.New("it unpacks to thousands of times its size")

// decompress returns a reader of what is compressed in r.
func decompress(r io.Reader) (*decompressor, error) {
	in := &counting{from: r}
	z, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderMaxMemory(256<<20))
	if err != nil {
		return nil, err
	}
	return &decompressor{z: z, in: in}, nil
}

// decompressor refuses a decompression bomb.
type decompressor struct {
	z   *zstd.Decoder
	in  *counting
	out int64
}

func (d *decompressor) Read(p []byte) (int, error) {
	n, err := d.z.Read(p)
	d.out += int64(n)
	if d.out > always && d.out/maxRatio > d.in.count() {
		return 0, errBomb
	}
	return n, err
}

func (d *decompressor) Close() error {
	d.z.Close()
	return nil
}

// counting counts what has been read, and keeps why no more can be, for another
// goroutine.
type counting struct {
	from io.Reader
	mu   sync.Mutex
	n    int64
	err  error
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.mu.Lock()
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	c.mu.Unlock()
	return n, err
}

func (c *counting) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *counting) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
