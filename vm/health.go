package vm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/plaintext"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/operation"
)

// failedLimit bounds the question for what has failed in a guest that is about to be
// shut down: without an answer, everything that has failed afterwards is new.
const failedLimit = 30 * time.Second

// maxUnits is how many failed units of a guest are named.
const maxUnits = 20

// probe prints what a health check compares, a line each: "host NAME", "id MACHINE-ID",
// "mount DIRECTORY OPTIONS", "system STATE" and "failed UNIT". It waits until the guest
// has booted. A guest that systemd has not booted has neither a state nor units.
const probe = `echo "host $(cat /proc/sys/kernel/hostname)"
echo "id $(cat /etc/machine-id)"
while read -r _ dir _ options _; do
	case $dir in / | /var) echo "mount $dir $options" ;; esac
done < /proc/mounts
[ -d /run/systemd/system ] || exit 0
echo "system $(systemctl is-system-running --wait 2> /dev/null)"
` + failedProbe

// failedProbe prints the units that have failed.
const failedProbe = `systemctl list-units --failed --plain --no-legend --full 2> /dev/null | while read -r unit _; do echo "failed $unit"; done`

// checkup is what a guest says of itself.
type checkup struct {
	host, id string
	mounts   map[string]string // options of / and /var
	system   string            // of systemctl is-system-running; empty: no systemd
	failed   []string
}

func parseCheckup(text string) checkup {
	c := checkup{mounts: map[string]string{}}
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(plaintext.Line(strings.TrimSpace(line), 300), " ")
		switch word {
		case "host":
			c.host = rest
		case "id":
			c.id = rest
		case "mount":
			dir, options, _ := strings.Cut(rest, " ")
			c.mounts[dir] = options // the last one is on top
		case "system":
			c.system = rest
		case "failed":
			if len(c.failed) < maxUnits {
				c.failed = append(c.failed, rest)
			}
		}
	}
	return c
}

// faults are the sentences of the guest contract that a guest does not keep.
func (c checkup) faults(m machine.Machine, mode string) []string {
	var list []string
	if c.host != m.Hostname {
		list = append(list, fmt.Sprintf("its host name is %q instead of %s", c.host, m.Hostname))
	}
	if c.id != m.MachineID {
		list = append(list, "it does not have the machine id of "+m.Name)
	}
	if mode != nixbuild.Mutable && !slices.Contains(strings.Split(c.mounts["/"], ","), "ro") {
		list = append(list, "its root file system is not read-only")
	}
	if _, ok := c.mounts["/var"]; mode != nixbuild.Mutable && !ok {
		list = append(list, "its state disk is not mounted on /var")
	}
	return list
}

// newlyFailed are the units that had not failed before.
func newlyFailed(before, now []string) []string {
	return slices.DeleteFunc(slices.Clone(now), func(unit string) bool { return slices.Contains(before, unit) })
}

// failedUnits asks a running guest which of its units have failed; nil where it does
// not answer.
func (s *Service) failedUnits(ctx context.Context, name string) []string {
	ctx, cancel := context.WithTimeout(ctx, failedLimit)
	defer cancel()
	out, err := s.inGuest(ctx, name, failedProbe)
	if err != nil {
		s.log.Info("a guest does not say what has failed in it", "machine", name, "error", err)
	}
	return parseCheckup(out).failed
}

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

// advice is a hint that begins with what has become of the VM.
func (u *upgrade) advice(fate string) string {
	if u.args.Number == 0 {
		fate += fmt.Sprintf("; correct the image and run nixvmd %s %s again", api.KindUpgrade, u.name)
	}
	return fate + "; --allow-degraded accepts services that fail, --timeout waits longer"
}

// sayReturned says whether the guest works again with its former image: in the hint of
// the problem that led back to it, or else in a warning.
func (u *upgrade) sayReturned(ctx context.Context, r *operation.Run) {
	if r.GaveWay() {
		return
	}
	fate := fmt.Sprintf("%s works again with generation %d", u.name, u.args.Before.Current)
	limited, cancel := context.WithTimeout(ctx, u.service.limits.back)
	defer cancel()
	if err := u.service.inventory.WaitReady(limited, u.name); err != nil {
		fate = fmt.Sprintf("%s has returned to generation %d and been started, but does not work yet: %v (nixvmd status %s)", u.name, u.args.Before.Current, err, u.name)
	}
	if ctx.Err() != nil {
		return // nothing waits for the undo any more
	}
	if u.booted {
		fate += "; its snapshots are kept, and so is what the new image has written to /var"
	}
	if u.broke == nil {
		r.Warn(fate)
		return
	}
	u.broke.Hint = u.advice(fate)
}
