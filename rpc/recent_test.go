package rpc

import (
	"fmt"
	"testing"
)

func TestRecentForgetsTheOldest(t *testing.T) {
	r := recent{limit: 3}
	for i := range 100 {
		id := fmt.Sprint(i)
		if !r.add(id) || r.add(id) {
			t.Fatalf("%s is not new once", id)
		}
	}
	if len(r.ids) != 3 || len(r.order) != 3 || !r.has("97") || r.has("96") {
		t.Errorf("it remembers %v, %v", r.ids, r.order)
	}
}
