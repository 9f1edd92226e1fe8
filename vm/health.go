package vm

import (
	"context"
	"fmt"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/operation"
)

// start boots the VM with its new image.
func (u *upgrade) start(ctx context.Context, _ *operation.Run) error {
	if err := u.service.startVM(ctx, u.name); err != nil {
		return u.broken(err, "")
	}
	return nil
}

// ready waits for the guest's SSH server.
func (u *upgrade) ready(ctx context.Context, _ *operation.Run) error {
	return u.watched(ctx, func(ctx context.Context) error { return u.service.inventory.WaitReady(ctx, u.name) })
}

// health checks the booted guest: its identity, its disks, and its services.
func (u *upgrade) health(ctx context.Context, r *operation.Run) error {
	return u.watched(ctx, func(ctx context.Context) error {
		m, _, err := u.service.realised(u.name)
		if err != nil {
			return err
		}
		out, err := u.service.inGuest(ctx, u.name, probe)
		if err != nil {
			return err
		}
		c := parseCheckup(out)
		faults := c.faults(m, u.img.Mode)
		switch units := newlyFailed(u.failed, c.failed); {
		case len(units) > 0 && u.args.AllowDegraded:
			r.Warn("services have failed with the new image: " + strings.Join(units, ", "))
		case len(units) > 0:
			faults = append(faults, "services have failed that had not before: "+strings.Join(units, ", "))
		case len(c.failed) > 0:
			r.Warn("services have failed, as before: " + strings.Join(c.failed, ", "))
		case c.system != "" && c.system != "running" && c.system != "degraded":
			faults = append(faults, "systemd says that it is "+c.system)
		}
		if len(faults) > 0 {
			return fmt.Errorf("%s", strings.Join(faults, "; "))
		}
		return nil
	})
}

// watched does what needs the new guest within the time that it may take, and adds the
// last lines of its console to an error.
func (u *upgrade) watched(ctx context.Context, fn func(context.Context) error) error {
	console := u.service.followConsole(ctx, u.name)
	limited, cancel := context.WithTimeout(ctx, u.args.Timeout)
	defer cancel()
	err := fn(limited)
	lines := console.end()
	if err == nil || ctx.Err() != nil {
		return err
	}
	return u.broken(err, lines)
}

// broken is the problem of an image whose guest does not work.
func (u *upgrade) broken(err error, console string) error {
	text := ""
	if console != "" {
		text = "\nThe last lines of its console:\n" + console
	}
	u.broke = problem.New(problem.UpgradeFailed, "%s does not work with image %s: %w%s", u.name, u.img.ID, err, text).
		WithHint("%s", u.advice(fmt.Sprintf("%s returns to generation %d", u.name, u.args.Before.Current)))
	return u.broke
}
