package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

var lifeArgs = []string{"--image", "tiny", "--memory", "512", "--vcpus", "2", "--disk", "2G", "--yes", "--quiet"}

// measureLife measures what a running VM gets in the course of its life: another image,
// and settings that are applied while it runs.
func measureLife(ctx context.Context, h *home, pairs int) error {
	note("preparing the image and a VM")
	if err := h.nixvmd(ctx, append([]string{"create", benchVM}, lifeArgs...)...); err != nil {
		return err
	}
	if err := measureLiveApply(ctx, h); err != nil {
		return err
	}
	return measureUpgrade(ctx, h, pairs)
}

// measureLiveApply opens and closes a port.
func measureLiveApply(ctx context.Context, h *home) error {
	n := 0
	apply, err := repeat(10, func() error {
		n++
		return h.nixvmd(ctx, "configure", benchVM, "--tcp-port", fmt.Sprint(8000+n), "--quiet")
	})
	if err != nil {
		return err
	}
	head("running VM", "median", "slowest", "budget")
	row("a port, applied live", short(apply.median()), short(apply.at(1)), "1 s")
	return nil
}

// measureUpgrade lets a VM change between two images, which are both there, and compares
// how long its guest is away with a stop and a start.
func measureUpgrade(ctx context.Context, h *home, pairs int) error {
	profiles := "dev"
	upgrade := func() error {
		if err := h.nixvmd(ctx, "upgrade", benchVM, "--quiet"); err != nil {
			return err
		}
		profiles = map[string]string{"dev": "core", "core": "dev"}[profiles]
		return nil
	}
	// The connection that waits for the guest starts it.
	restart := func() error { return h.nixvmd(ctx, "stop", benchVM, "--quiet") }
	var ours, theirs, differences samples
	for i := range pairs + 1 {
		var a, b time.Duration
		steps := []func() error{
			func() (err error) {
				if err := h.nixvmd(ctx, "configure", benchVM, "--profiles", profiles, "--quiet"); err != nil {
					return err
				}
				a, err = awayDuring(ctx, h, upgrade)
				return err
			},
			func() (err error) { b, err = awayDuring(ctx, h, restart); return err },
		}
		if i%2 == 1 {
			steps[0], steps[1] = steps[1], steps[0]
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
		if i == 0 {
			continue // the images are made
		}
		note("pair %d of %d: upgrade %s, stop and start %s", i, pairs, short(a), short(b))
		ours, theirs, differences = append(ours, a), append(theirs, b), append(differences, a-b)
	}
	head("the guest does not answer", "median", "shortest", "longest")
	row("upgrade, image at hand", short(ours.median()), short(ours.at(0)), short(ours.at(1)))
	row("stop and start", short(theirs.median()), short(theirs.at(0)), short(theirs.at(1)))
	row("difference of the pairs; budget: 2 s", fmt.Sprintf("%+.2f s", differences.median().Seconds()),
		fmt.Sprintf("%+.2f s", differences.at(0).Seconds()), fmt.Sprintf("%+.2f s", differences.at(1).Seconds()))
	return nil
}

// awayDuring is the time from the last sign of the guest before do ends it to the first
// answer of its SSH server afterwards.
func awayDuring(ctx context.Context, h *home, do func() error) (time.Duration, error) {
	config := filepath.Join(h.dir, "ssh_config")
	watch := exec.CommandContext(ctx, "ssh", "-F", config, "-o", "ControlPath=none", benchVM, "while :; do echo x; sleep 0.02; done")
	out, err := watch.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := watch.Start(); err != nil {
		return 0, err
	}
	var guest printer
	watched := make(chan struct{})
	go func() { defer close(watched); guest.watch(out) }()
	if !guest.printed(ctx) {
		_ = watch.Process.Kill()
		return 0, fmt.Errorf("the guest prints nothing")
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case <-watched:
	case err := <-done: // it must have ended the guest
		_ = watch.Process.Kill()
		return 0, fmt.Errorf("the guest was not away: %w", err)
	}
	_ = watch.Wait() // its end is what was waited for
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	// A connection waits for the operation that is under way. It may fail with the old guest.
	for exec.CommandContext(ctx, "ssh", "-F", config, "-o", "ControlPath=none", benchVM, "true").Run() != nil {
		if ctx.Err() != nil {
			return 0, fmt.Errorf("the guest does not come back: %w", <-done)
		}
	}
	away := guest.silentSince(time.Now())
	return away, <-done
}
