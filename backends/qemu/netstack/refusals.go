package netstack

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/nixvm/nixvm/backends"
)

// What a guest can write into a log of its host: of each block of addresses the
// first destinations as they come, then one a minute; and how many attempts there
// were, more and more seldom while they go on.
const (
	namedAtOnce  = 30
	namedEvery   = time.Minute
	firstSummary = time.Minute
	lastSummary  = time.Hour
)

// refusals logs what the policy refused. Even if a guest tries to fill the log, a
// refusal in another block of addresses (there are some twenty) is named at once,
// and one in the same block is at least counted.
type refusals struct {
	log *slog.Logger

	mu     sync.Mutex
	blocks map[string]*block
	total  uint64
	last   *backends.Refusal
	timer  *time.Timer // of the next summary
	next   time.Time   // when that is; zero while there is nothing to say
	ended  bool
}

// block is a part of the addresses that are refused.
type block struct {
	name    string
	budget  *rate.Limiter      // of lines that name a destination
	named   map[refusal]uint64 // destinations that the log has, and how often they were tried since
	times   uint64             // attempts since the last summary, but the ones that were named
	unnamed uint64             // of those, to destinations that the log does not have
	last    refusal            // the one of them that came last
	pause   time.Duration      // from the first attempt to the summary that has it
	due     time.Time          // when that is
}

type refusal struct {
	protocol string
	to       netip.AddrPort
}

func (r refusal) String() string { return r.protocol + ":" + r.to.String() }

func newRefusals(log *slog.Logger) *refusals { return &refusals{log: log, blocks: map[string]*block{}} }

// blockOf is where an address is: in a special one, or at the host.
func blockOf(a netip.Addr) string {
	if Subnet.Contains(a) {
		return Subnet.String()
	}
	for _, s := range backends.Specials {
		if s.Prefix.Contains(a) {
			return s.Prefix.String()
		}
	}
	return "this host"
}

func (r *refusals) refused(protocol string, to netip.AddrPort) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	r.last = &backends.Refusal{Protocol: protocol, To: to.String(), At: now.UTC()}
	name := blockOf(to.Addr())
	b := r.blocks[name]
	if b == nil {
		b = &block{name: name, budget: rate.NewLimiter(rate.Every(namedEvery), namedAtOnce), named: map[refusal]uint64{}, pause: firstSummary}
		r.blocks[name] = b
	}
	what := refusal{protocol, to}
	times, known := b.named[what]
	if !known && b.budget.AllowN(now, 1) {
		if len(b.named) >= namedAtOnce { // what is tried again is named again
			clear(b.named)
		}
		b.named[what] = 0
		r.log.Info("refused", "protocol", protocol, "to", to, "block", name)
		return
	}
	if b.times++; b.times == 1 {
		if now.Sub(b.due) > b.pause {
			b.pause = firstSummary // it was quiet
		}
		b.due = now.Add(b.pause)
	}
	b.last = what
	if known {
		b.named[what] = times + 1
	} else {
		b.unnamed++
	}
	r.arm(now)
}

// arm sets the timer to the summary that is due first. mu is held.
func (r *refusals) arm(now time.Time) {
	var first time.Time
	for _, b := range r.blocks {
		if b.times > 0 && (first.IsZero() || b.due.Before(first)) {
			first = b.due
		}
	}
	if first.IsZero() || !r.next.IsZero() && !first.Before(r.next) {
		return
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	r.next = first
	r.timer = time.AfterFunc(first.Sub(now), r.summarise)
}

// summarise says what was not named, of the blocks whose time has come.
func (r *refusals) summarise() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	now := time.Now()
	r.next = time.Time{}
	for _, b := range r.sorted() {
		if b.times > 0 && !b.due.After(now) {
			r.say(b)
			b.pause = min(2*b.pause, lastSummary)
		}
	}
	r.arm(now)
}

// say writes the counters of a block, and begins them anew. mu is held.
func (r *refusals) say(b *block) {
	most, mostTimes := b.last, uint64(0)
	for what, times := range b.named {
		if times > mostTimes {
			most, mostTimes = what, times
		}
		b.named[what] = 0
	}
	r.log.Info("refused again", "block", b.name, "times", b.times, "unnamed", b.unnamed, "most", most, "last", b.last)
	b.times, b.unnamed = 0, 0
}

func (r *refusals) sorted() []*block {
	var list []*block
	for _, b := range r.blocks {
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b *block) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return list
}

// end says what there is left to say.
func (r *refusals) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	if r.timer != nil {
		r.timer.Stop()
	}
	for _, b := range r.sorted() {
		if b.times > 0 {
			r.say(b)
		}
	}
}

// count is how many there were, and the last one of them, nil for none.
func (r *refusals) count() (uint64, *backends.Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total, r.last
}
