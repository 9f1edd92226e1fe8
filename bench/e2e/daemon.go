package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nixvm/nixvm/machine"
)

const (
	coldStarts = 30
	idleTime   = 30 * time.Second
	reads      = 3000
)

func measureDaemon(ctx context.Context, h *home) error {
	head("daemon", "p50", "p99", "budget")
	starts, err := coldStart(ctx, h)
	if err != nil {
		return err
	}
	row("cold start to the first answer", short(starts.median()), short(starts.at(0.99)), "30 ms")
	for _, machines := range []int{100, 1000} {
		if err := declare(ctx, h, machines); err != nil {
			return err
		}
		if err := withDaemon(ctx, h, func(d *exec.Cmd, c *conn) error { return measureReads(machines, d, c) }); err != nil {
			return err
		}
	}
	return withDaemon(ctx, h, func(d *exec.Cmd, _ *conn) error { return measureIdle(ctx, d) })
}

// coldStart: exec of the daemon to the answer of initialize, in an empty home.
func coldStart(ctx context.Context, h *home) (samples, error) {
	var times samples
	for range coldStarts {
		start := time.Now()
		if err := withDaemon(ctx, h, func(*exec.Cmd, *conn) error {
			times = append(times, time.Since(start))
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return times, nil
}

func withDaemon(ctx context.Context, h *home, use func(*exec.Cmd, *conn) error) error {
	daemon := h.command(ctx, "serve")
	if err := daemon.Start(); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := dial(limited, h.socket())
	if err == nil {
		err = use(daemon, c)
		c.Close()
	}
	_ = daemon.Process.Signal(syscall.SIGTERM)
	_ = daemon.Wait() // its status says nothing: we ended it
	return err
}

// declare makes machine directories m0, m1, ... until there are that many.
func declare(ctx context.Context, h *home, n int) error {
	store, err := machine.OpenStore(filepath.Join(h.dir, "data", "machines"))
	if err != nil {
		return err
	}
	for i := range n {
		name := "m" + strconv.Itoa(i)
		if store.Exists(name) {
			continue
		}
		if _, err := store.Create(ctx, machine.Draft{Name: name, Profiles: []string{"claude", "dev"}}); err != nil {
			return err
		}
	}
	return nil
}

func measureReads(machines int, d *exec.Cmd, c *conn) error {
	for _, r := range []struct {
		name, method, budget string
		params               any
	}{
		{fmt.Sprintf("list of %d machines", machines), "nixvm/machine/list", map[int]string{100: "1 ms (p99)", 1000: "5 ms (p99)"}[machines], nil},
		{fmt.Sprintf("get one of %d", machines), "nixvm/machine/get", "1 ms (p99)", map[string]string{"name": "m7"}},
	} {
		var answered, decoded samples
		for range reads {
			start := time.Now()
			if err := c.call(r.method, r.params, nil); err != nil {
				return err
			}
			answered, decoded = append(answered, c.received.Sub(start)), append(decoded, time.Since(start))
		}
		row(r.name, short(answered.median()), short(answered.at(0.99)), r.budget)
		row(r.name+", parsed by the client", short(decoded.median()), short(decoded.at(0.99)), "")
	}
	rss, err := resident(d.Process.Pid)
	row(fmt.Sprintf("resident memory with %d machines", machines), rss, "", "30 MB")
	return err
}

func measureIdle(ctx context.Context, d *exec.Cmd) error {
	note("watching an idle daemon for %s", idleTime)
	before, err := ticks(d.Process.Pid)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(idleTime):
	}
	after, err := ticks(d.Process.Pid)
	// A tick is 10 ms on every Linux that matters (USER_HZ, times(2)).
	row(fmt.Sprintf("CPU time of an idle daemon with 1000 machines in %s", idleTime), fmt.Sprintf("%d ms", 10*(after-before)), "", "none")
	return err
}

var vmRSS = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

func resident(pid int) (string, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", err
	}
	m := vmRSS.FindSubmatch(status)
	if m == nil {
		return "", fmt.Errorf("/proc/%d/status has no VmRSS", pid)
	}
	kib, err := strconv.Atoi(string(m[1]))
	return fmt.Sprintf("%.1f MB", float64(kib)/1000*1.024), err
}

// ticks is the CPU time of a process: fields 14 and 15 of proc_pid_stat(5).
func ticks(pid int) (int, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return user + system, err
}
