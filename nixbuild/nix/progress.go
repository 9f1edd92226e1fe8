package nix

import (
	"fmt"
	"strings"
)

// Phase is what nix does.
type Phase string

// The phases, in their order. Downloads and builds of the last one run at once.
const (
	Evaluating Phase = "evaluating"
	Realising  Phase = "realising"
)

// Progress is how far a build is. Phase and counts never go back, though nix's
// own do: it expects a derivation before it knows whether that is there already.
type Progress struct {
	Phase Phase

	Built, ToBuild int64 // derivations
	Copied, ToCopy int64 // store paths out of caches
	Loaded, ToLoad int64 // bytes of downloads

	// What is being built, the latest of several, and the phase that its builder
	// has announced. Empty while nothing is.
	Derivation, Step string
	// Downloading: bytes are on their way now.
	Downloading bool
}

// Done is how many steps, derivations and paths, are done.
func (p Progress) Done() int64 { return p.Built + p.Copied }

// Total is how many steps are known so far.
func (p Progress) Total() int64 { return p.ToBuild + p.ToCopy }

// String is one line for people. Its figures stand in parentheses at the end.
func (p Progress) String() string {
	what, done, of := p.describe()
	var figures []string
	if of > 0 {
		figures = append(figures, fmt.Sprintf("%d/%d", done, of))
	}
	if p.Downloading && p.ToLoad > 0 {
		figures = append(figures, fmt.Sprintf("%.1f of %.1f MiB", mebibytes(p.Loaded), mebibytes(p.ToLoad)))
	}
	if len(figures) == 0 {
		return what
	}
	return what + " (" + strings.Join(figures, ", ") + ")"
}

func (p Progress) describe() (what string, done, of int64) {
	switch {
	case p.Phase == Evaluating && p.Downloading:
		return "fetching the inputs of the flake", 0, 0
	case p.Phase == Evaluating:
		return "evaluating the flake", 0, 0
	case p.Derivation != "" && p.Step != "":
		return "building " + p.Derivation + ", " + p.Step, p.Built, p.ToBuild
	case p.Derivation != "":
		return "building " + p.Derivation, p.Built, p.ToBuild
	case p.Downloading || p.Copied < p.ToCopy:
		return "downloading", p.Copied, p.ToCopy
	}
	return "building", p.Built, p.ToBuild
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// count is done and expected of one activity.
type count struct {
	done, expected int64
	last           int64 // what was done at the last news
}

// news takes what nix says of an activity of builds or paths. From 2.29 on a build
// that has just ended is in both of its numbers, until the next news: expected is
// one too many then.
func (c *count) news(done, expected int64) {
	if done > c.last {
		expected = 0
	}
	c.last = done
	c.grow(done, expected)
}

// grow takes newer numbers as far as they are larger.
func (c *count) grow(done, expected int64) {
	c.done = max(c.done, done)
	c.expected = max(c.expected, expected, c.done)
}

// counter adds up activities of one type. Those that have ended count on.
type counter struct {
	ended   count
	running map[uint64]*count
}

// most is how many activities of a type are told apart. Some versions of nix
// stop theirs only at the end of all.
const most = 256

func (c *counter) start(id uint64) {
	if c.running == nil {
		c.running = map[uint64]*count{}
	}
	for old := range c.running {
		if len(c.running) < most {
			break
		}
		c.stop(old)
	}
	c.running[id] = &count{}
}

func (c *counter) stop(id uint64) {
	if one, ok := c.running[id]; ok {
		c.ended.done += one.done
		c.ended.expected += one.done // what has not come by now will not come
		delete(c.running, id)
	}
}

func (c *counter) sum() count {
	all := c.ended
	for _, one := range c.running {
		all.done += one.done
		all.expected += one.expected
	}
	return all
}
