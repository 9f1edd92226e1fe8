package proxmox

import (
	"slices"

	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

// step is one request that brings the rules of a VM nearer to those that it is to have.
type step struct {
	method string
	pos    int // of the rule; not that of a new one, which becomes the first
	params pve.Params
}

// nextSteps are the requests that may be made without reading the rules again; none = they
// are as they have to be. want is not empty.
//
// At no point of the way do the rules let through what neither the former nor the new ones
// do. New rules are put before the former, from the last to the first, because the server
// has no other place for them (pve-firewall, create_rule). The last one, which accepts what
// the others do not reject, is off until all are there.
func nextSteps(have, want []rule) []step {
	last := len(want) - 1
	building := slices.Clone(want)
	building[last].Enable = 0
	begins := func(with []rule) bool {
		return len(have) >= len(with) && slices.EqualFunc(have[:len(with)], with, rule.same)
	}
	switch {
	case begins(want) && len(have) == len(want):
		return nil
	case begins(want):
		end := len(have) - 1
		return []step{{"DELETE", end, pve.Params{"digest": have[end].Digest}}}
	case begins(building):
		return []step{change(last, have, want[last])}
	case slices.EqualFunc(have, want, func(a, b rule) bool { return a.kind() == b.kind() }):
		for i := range have {
			if !have[i].same(want[i]) {
				return []step{change(i, have, want[i])}
			}
		}
	}
	there := len(want) - 1 // how many of the new ones, from the last on
	for !begins(building[len(want)-there:]) {
		there--
	}
	var all []step
	for _, r := range slices.Backward(building[:len(want)-there]) {
		all = append(all, step{"POST", 0, r.fields()})
	}
	return all
}

// change gives the rule at a position other fields.
func change(pos int, have []rule, to rule) step {
	p := to.fields()
	p["delete"], p["digest"] = to.absent(), have[pos].Digest
	return step{"PUT", pos, p}
}
