package vm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nixvm/nixvm/internal/plaintext"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
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
