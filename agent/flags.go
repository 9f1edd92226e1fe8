package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/plaintext"
)

// examination flags files, one after the other.
type examination struct {
	rules []rule
	found map[string]*api.ReviewFlag // by rule.name and why
	blobs *blobs
}

func newExamination(c *Checkout) *examination {
	return &examination{rules: rules(), found: map[string]*api.ReviewFlag{}, blobs: &blobs{git: c.git}}
}

func (x *examination) close() { x.blobs.close() }

// examine compares a file with each rule. What is deleted cannot run.
func (x *examination) examine(ctx context.Context, e entry) error {
	if e.status == "deleted" {
		return nil
	}
	var content []byte
	read, whole := false, false
	for _, r := range x.rules {
		applies := r.mode == e.mode || r.mode == "" && (r.match(e.path) || r.name == "name" && e.long)
		if !applies {
			continue
		}
		found := ""
		if r.look != nil {
			if !read && e.mode != modeCommit {
				var err error
				if content, whole, err = x.blobs.read(ctx, e.object); err != nil {
					return err
				}
				read = true
			}
			switch {
			case read && !whole:
				found = "it is too large to be examined"
			default:
				found = r.look(e.path, content)
			}
			if found == "" {
				continue
			}
		}
		x.flag(r, e.path, found)
	}
	return nil
}

func (x *examination) flag(r rule, path, found string) {
	f := x.found[r.name+r.why]
	if f == nil {
		f = &api.ReviewFlag{Rule: r.name, Why: r.why}
		x.found[r.name+r.why] = f
	}
	if f.Count++; f.Count <= maxPaths {
		f.Paths = append(f.Paths, api.ReviewPath{Path: shown(path), Found: plaintext.Line(found, maxText)})
	}
}

// flags are those that were found, in the order of the table.
func (x *examination) flags() []api.ReviewFlag {
	list := []api.ReviewFlag{}
	for _, r := range x.rules {
		if f := x.found[r.name+r.why]; f != nil {
			list = append(list, *f)
			delete(x.found, r.name+r.why)
		}
	}
	return list
}

// blobs reads objects through one git cat-file, which is started for the first.
type blobs struct {
	git    git
	cancel context.CancelFunc
	asks   *io.PipeWriter
	tells  *bufio.Reader
	end    func()
}

// read returns the beginning of a blob, and whether that is all of it.
func (b *blobs) read(ctx context.Context, object string) (content []byte, whole bool, err error) {
	if b.asks == nil {
		b.start(ctx)
	}
	if _, err := fmt.Fprintln(b.asks, object); err != nil {
		return nil, false, fmt.Errorf("read an object: %w", err)
	}
	head, err := b.tells.ReadString('\n')
	if err != nil {
		return nil, false, fmt.Errorf("read an object: %w", err)
	}
	fields := strings.Fields(head)
	if len(fields) != 3 {
		return nil, false, fmt.Errorf("read the object %s: git says %.80q", object, head)
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return nil, false, fmt.Errorf("read the object %s: %w", object, err)
	}
	content = make([]byte, min(size, maxContent))
	if _, err = io.ReadFull(b.tells, content); err == nil {
		_, err = io.CopyN(io.Discard, b.tells, size-int64(len(content))+1) // and the line feed
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the object %s: %w", object, err)
	}
	return content, size <= maxContent, nil
}

func (b *blobs) start(ctx context.Context) {
	ctx, b.cancel = context.WithCancel(ctx)
	in, asks := io.Pipe()
	out, tells := io.Pipe()
	b.asks, b.tells = asks, bufio.NewReader(out)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := b.git.run(ctx, call{stdin: in, stdout: tells}, "cat-file", "--batch")
		if err == nil {
			err = errors.New("git cat-file has ended")
		}
		tells.CloseWithError(err)
		in.CloseWithError(err)
	}()
	b.end = func() {
		asks.Close()
		b.cancel()
		out.Close()
		<-ended
	}
}

func (b *blobs) close() {
	if b.end != nil {
		b.end()
	}
}
