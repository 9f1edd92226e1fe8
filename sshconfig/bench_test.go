package sshconfig

import (
	"fmt"
	"testing"
)

// Run with: go test ./sshconfig -run '^$' -bench . -benchtime 50x
//
// The budget of design section 12 is 20 ms for apply and verify of one new VM.

func BenchmarkApplyOneNewVM(b *testing.B) {
	for _, n := range []int{0, 10, 100, 1000} {
		b.Run(fmt.Sprintf("beside=%d", n), func(b *testing.B) {
			c := newConfig(b)
			c.opts.SSH = "true" // the first n are not what is measured
			writeUserConfig(b, c, "Host *\n  User me\n")
			var all []Host
			for i := range n {
				all = append(all, host(fmt.Sprintf("vm%d", i)))
			}
			if n > 0 {
				_, _ = c.Apply(b.Context(), all)
				next := (&change{blocks: blocksOf(c, all)}).own(all)
				if err := c.writeOwn(ownFiles{}, next); err != nil {
					b.Fatal(err)
				}
			}
			c.opts.SSH = "ssh"
			for b.Loop() {
				mustApply(b, c, append(all, host("new"))...)
				b.StopTimer()
				if _, err := c.Apply(b.Context(), all); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func blocksOf(c *Config, hosts []Host) []block {
	var all []block
	for _, h := range hosts {
		bs := c.blocks(h)
		all = append(all, bs[:]...)
	}
	return all
}

// What of it is ssh: one `ssh -G` per alias, two at once.
func BenchmarkVerifyOneVM(b *testing.B) {
	c := newConfig(b)
	mustApply(b, c, host("demo"))
	blocks := blocksOf(c, hosts("demo"))
	for b.Loop() {
		if wrong, err := c.verify(b.Context(), userFile{path: c.UserConfig()}, blocks); err != nil || len(wrong) > 0 {
			b.Fatal(wrong, err)
		}
	}
}

func BenchmarkApplyUnchanged(b *testing.B) {
	c := newConfig(b)
	mustApply(b, c, host("demo"))
	for b.Loop() {
		mustApply(b, c, host("demo"))
	}
}

func BenchmarkSSHG(b *testing.B) {
	c := newConfig(b)
	mustApply(b, c, host("demo"))
	for b.Loop() {
		if _, err := c.sshG(b.Context(), "demo"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCloseMastersWithoutAny(b *testing.B) {
	c := newConfig(b)
	for b.Loop() {
		if err := c.CloseMasters(b.Context(), "demo"); err != nil {
			b.Fatal(err)
		}
	}
}
