package machine

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkIdentity is what a new VM waits for: the identity generated and its
// medium built. Budget: 50 ms.
func BenchmarkIdentity(b *testing.B) {
	s := newStore(b)
	m := create(b, s, full())
	for b.Loop() {
		if _, err := identity("demo", content{}, func(string) bool { return false }); err != nil {
			b.Fatal(err)
		}
		medium(b, m, 1)
	}
}

// BenchmarkMedium is what a changed setting costs.
func BenchmarkMedium(b *testing.B) {
	m := create(b, newStore(b), full())
	for b.Loop() {
		medium(b, m, 1)
	}
}

// BenchmarkCreate writes a whole machine directory durably, then deletes it.
func BenchmarkCreate(b *testing.B) {
	s := newStore(b)
	for b.Loop() {
		create(b, s, full())
		if err := s.Delete("demo"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList reads all machines from disk, as the daemon does at its start.
func BenchmarkList(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newStore(b)
			for i := range n {
				if _, err := s.Create(context.Background(), Draft{Name: fmt.Sprintf("vm-%d", i)}); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if machines, broken := s.List(); len(machines) != n || len(broken) != 0 {
					b.Fatal(len(machines), broken)
				}
			}
		})
	}
}
