package inventory

import (
	"slices"
	"time"
)

// Generation is one image that a VM has booted from, or is to boot from.
type Generation struct {
	Number int    `json:"number"` // from 1; never used twice for one VM while the highest is kept
	Image  Image  `json:"image"`
	Mode   string `json:"mode,omitempty"` // of the image
	// Setting is the kind of image that the machine asked for then: what its file says.
	Setting string    `json:"setting,omitempty"`
	Since   time.Time `json:"since"` // when the VM got it
}

// Generations are which image a VM boots from, and those that it can go back to. The image of
// the record is always that of the current generation.
type Generations struct {
	Image   Image        `json:"image"`
	Current int          `json:"current"`
	History []Generation `json:"history"` // by number, the current one among them
}

// Generations returns those of the VM. One that was never upgraded has one.
func (r *Record) Generations() Generations {
	b := Generations{Image: r.Image, Current: r.CurrentGeneration, History: slices.Clone(r.History)}
	if _, ok := b.Find(b.Current); !ok {
		b.Current = 1
		b.History = []Generation{{Number: 1, Image: r.Image, Setting: r.Image.Kind, Since: r.Created}}
	}
	return b
}

// SetGenerations changes which image the VM boots from. Its next identity medium has another
// generation: another image may apply more of the files than the one before.
func (r *Record) SetGenerations(b Generations) {
	r.Image, r.CurrentGeneration, r.History, r.Digest = b.Image, b.Current, b.History, ""
}

// Find returns the generation of that number.
func (b Generations) Find(number int) (Generation, bool) {
	i := slices.IndexFunc(b.History, func(g Generation) bool { return g.Number == number })
	if i < 0 {
		return Generation{}, false
	}
	return b.History[i], true
}

// Previous returns the generation before the current one, by number.
func (b Generations) Previous() (g Generation, ok bool) {
	for _, one := range b.History {
		if one.Number < b.Current && one.Number > g.Number {
			g, ok = one, true
		}
	}
	return g, ok
}

// With returns the generations after the VM has got another image, without the oldest
// ones where there would be more than keep.
func (b Generations) With(g Generation, keep int) Generations {
	for _, one := range b.History {
		g.Number = max(g.Number, one.Number+1)
	}
	next := Generations{Image: g.Image, Current: g.Number, History: append(slices.Clone(b.History), g)}
	if over := len(next.History) - max(keep, 1); over > 0 {
		next.History = next.History[over:]
	}
	return next
}

// At returns the generations after the VM has gone to the one of that number; profiles
// and settings of the machine are not part of it.
func (b Generations) At(number int) (Generations, bool) {
	g, ok := b.Find(number)
	return Generations{Image: g.Image, Current: number, History: slices.Clone(b.History)}, ok
}
