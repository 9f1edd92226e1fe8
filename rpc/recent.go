package rpc

// recent remembers the ids that were added last. The zero value is empty.
type recent struct {
	limit int // how many; more than the core remembers, so that one which is forgotten here is not asked for again
	ids   map[string]struct{}
	order []string // oldest first
}

// add remembers an id and reports whether it is new.
func (r *recent) add(id string) (first bool) {
	if r.has(id) {
		return false
	}
	if r.ids == nil {
		r.ids = map[string]struct{}{}
	}
	r.ids[id] = struct{}{}
	r.order = append(r.order, id)
	if len(r.order) > r.limit {
		delete(r.ids, r.order[0])
		r.order = r.order[1:]
	}
	return true
}

func (r *recent) has(id string) bool {
	_, ok := r.ids[id]
	return ok
}
