package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// measureAttached measures what a user of a running VM feels.
func measureAttached(ctx context.Context, h *home, name string) error {
	head("running VM", "median", "slowest", "budget")
	config := filepath.Join(h.dir, "ssh_config")
	first, err := repeat(10, func() error {
		// A connection of its own each time: the first byte of a first attach.
		return exec.CommandContext(ctx, "ssh", "-F", config, "-o", "ControlPath=none", name, "true").Run()
	})
	if err != nil {
		return err
	}
	row("ssh to the first byte, new connection", short(first.median()), short(first.at(1)), "0.3 s")
	again, err := repeat(10, func() error { return exec.CommandContext(ctx, "ssh", "-F", config, name, "true").Run() })
	if err != nil {
		return err
	}
	row("the same, over the connection that is there", short(again.median()), short(again.at(1)), "0.3 s")
	attach, err := repeat(20, func() error { return h.nixvmd(ctx, "attach", name) })
	if err != nil {
		return err
	}
	row("nixvmd attach", short(attach.median()), short(attach.at(1)), "")
	apply, err := repeat(20, func() error { return h.nixvmd(ctx, "ssh-config", "--apply") })
	if err != nil {
		return err
	}
	row("nixvmd ssh-config --apply, with its ssh -G", short(apply.median()), short(apply.at(1)), "20 ms")
	return measurePause(ctx, h, name)
}

func repeat(n int, do func() error) (samples, error) {
	var times samples
	for range n {
		start := time.Now()
		if err := do(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}

// measurePause watches a guest that prints without end while snapshots are taken and while
// it is cloned, by the clock of the host: the guest's own stands still with it.
func measurePause(ctx context.Context, h *home, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := exec.CommandContext(ctx, "ssh", "-F", filepath.Join(h.dir, "ssh_config"), "-o", "ControlPath=none", name, "while :; do echo x; done")
	out, err := watch.StdoutPipe()
	if err != nil {
		return err
	}
	if err := watch.Start(); err != nil {
		return err
	}
	var guest printer
	watched := make(chan struct{})
	go func() { defer close(watched); guest.watch(out) }()
	defer func() {
		cancel()
		<-watched
		_ = watch.Wait() // killed
	}()

	if !guest.printed(ctx) {
		return fmt.Errorf("the guest prints nothing")
	}
	measure := func(what string, command func(i int) []string, after func(i int) error) error {
		var pauses, verbs samples
		for i := range 5 {
			from := time.Now()
			if err := h.nixvmd(ctx, command(i)...); err != nil {
				return err
			}
			verbs = append(verbs, time.Since(from))
			pauses = append(pauses, guest.longestSilence(from, time.Now()))
			if err := after(i); err != nil {
				return err
			}
		}
		row("longest silence of a printing guest during a "+what, short(pauses.median()), short(pauses.at(1)), "100 ms paused")
		row("nixvmd "+what+", start to end", short(verbs.median()), short(verbs.at(1)), "")
		return nil
	}
	err = measure("snapshot", func(i int) []string { return []string{"snapshot", name, fmt.Sprintf("s%d", i), "--quiet"} }, func(int) error { return nil })
	if err != nil {
		return err
	}
	copied := func(i int) string { return fmt.Sprintf("%s-copy%d", name, i) }
	return measure("clone",
		func(i int) []string { return []string{"clone", name, copied(i), "--no-start", "--quiet"} },
		func(i int) error { return h.nixvmd(ctx, "destroy", copied(i), "--confirm", copied(i), "--quiet") })
}

// printer remembers when a guest was silent.
type printer struct {
	mu       sync.Mutex
	last     time.Time
	silences []silence
}

type silence struct{ from, to time.Time }

// watch reads to the end, and keeps every silence that is longer than a millisecond.
func (p *printer) watch(out io.Reader) {
	buffer := make([]byte, 1<<16)
	for {
		if _, err := out.Read(buffer); err != nil {
			return
		}
		now := time.Now()
		p.mu.Lock()
		if !p.last.IsZero() && now.Sub(p.last) > time.Millisecond {
			p.silences = append(p.silences, silence{p.last, now})
		}
		p.last = now
		p.mu.Unlock()
	}
}

// printed waits for the first line.
func (p *printer) printed(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		p.mu.Lock()
		begun := !p.last.IsZero()
		p.mu.Unlock()
		if begun {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// longestSilence is the longest that touches the time between the two.
func (p *printer) longestSilence(from, to time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	longest := to.Sub(p.last) // the one that still lasts
	for _, s := range p.silences {
		if s.to.After(from) && s.from.Before(to) {
			longest = max(longest, s.to.Sub(s.from))
		}
	}
	return longest
}

// silentSince is how long ago the last sign of the guest is.
func (p *printer) silentSince(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Sub(p.last)
}
