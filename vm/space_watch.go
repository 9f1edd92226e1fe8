package vm

import (
	"context"
	"fmt"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/operation"
)

// warnBelow is space.warn_below in bytes.
func (c Config) warnBelow() int64 {
	n, err := machine.ParseSize(c.Space.WarnBelow)
	if err != nil {
		return 0 // LoadConfig has refused it
	}
	return n
}

// resumeFrom is how much space, in bytes, lets a paused VM resume: less than the warning,
// so that it runs as soon as a user has done something about it, and not so little that
// it would be paused again at once.
func (c Config) resumeFrom() int64 { return c.warnBelow() / 8 }

// spaceWatch follows the space for the disks of one backend's VMs: it warns before it is
// used up, and resumes the VMs that were paused because it was.
type spaceWatch struct {
	s      *Service
	b      backends.Backend
	paused map[string]*pausedVM
	now    func() time.Time
}

// pausedVM is a VM whose host's disk was found full.
type pausedVM struct {
	resumed time.Time     // the last time; zero = not yet
	wait    time.Duration // between the last attempt and the next one
}

// never is the time between two looks where nothing looks.
const never = time.Duration(-1)

// watchSpace begins to follow the space of all backends.
func (s *Service) watchSpace(every time.Duration) {
	if every == never {
		return
	}
	for name, b := range s.backends {
		wake := s.wakeSpace[name]
		w := &spaceWatch{s: s, b: b, paused: map[string]*pausedVM{}, now: time.Now}
		pause := every
		if _, here := backends.As[backends.FileHost](b); pause == 0 {
			pause = spaceThere
			if here {
				pause = spaceHere
			}
		}
		s.background(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for {
				w.look(s.ctx)
				select {
				case <-tick.C:
				case <-wake:
				case <-s.ctx.Done():
					return
				}
			}
		})
	}
}

// noticeFull has the space of a VM's backend looked at now if the VM is paused for want
// of it. It does not wait.
func (s *Service) noticeFull(name string) {
	if e, ok := s.inventory.Get(name); ok && e.Status.Full {
		select {
		case s.wakeSpace[e.Host()] <- struct{}{}:
		default: // it is about to be looked at
		}
	}
}

// look is one look.
func (w *spaceWatch) look(ctx context.Context) {
	full := w.full()
	host, ok := backends.As[backends.SpaceHost](w.b)
	if !ok || w.s.inventory.Silent(w.b.Name()) != nil {
		return
	}
	space, err := ask(ctx, w.s, w.s.limits.ask, "the space of backend "+w.b.Name(), host.Space)
	if err != nil {
		w.s.log.Debug("cannot determine the space for disks", "backend", w.b.Name(), "error", err)
		return
	}
	w.s.checkScarce(space)
	for _, name := range full {
		w.resume(name, space)
	}
}

// full are the VMs of the backend that are paused, and forgets those that have been
// running for a while.
func (w *spaceWatch) full() []string {
	var full []string
	for _, e := range w.s.inventory.List() {
		if e.Host() != w.b.Name() {
			continue
		}
		p := w.paused[e.Name]
		switch {
		case e.Status.Full && p == nil:
			w.paused[e.Name] = &pausedVM{}
			w.s.notify(fmt.Sprintf("%s is paused: the disk of its host is full. Nothing is lost; it resumes by itself when there are %s of free space",
				e.Name, machine.FormatSize(w.s.config.resumeFrom())))
			full = append(full, e.Name)
		case e.Status.Full:
			full = append(full, e.Name)
		case p != nil && w.now().Sub(p.resumed) > settled:
			delete(w.paused, e.Name)
		}
	}
	return full
}

// resume lets a VM run again if there is space, and not too often.
func (w *spaceWatch) resume(name string, space backends.Space) {
	p := w.paused[name]
	if space.Free < w.s.config.resumeFrom() || w.now().Sub(p.resumed) < p.wait {
		return
	}
	again := !p.resumed.IsZero()
	if err := w.s.resumeFull(name); err != nil {
		if !problem.HasCode(err, problem.VMBusy) && w.s.ctx.Err() == nil {
			w.s.log.Warn("cannot resume the VM, although its host has space again", "machine", name, "error", err)
		}
		return // the next look tries it again
	}
	p.resumed, p.wait = w.now(), min(max(2*p.wait, spaceHere), longestWait)
	if !again {
		w.s.notify(fmt.Sprintf("%s resumes: %s has %s of free space", name, space.Name, machine.FormatSize(space.Free>>20<<20)))
	}
}

// checkScarce warns once when the space falls below the threshold, and again only after
// it has been an eighth above it.
func (s *Service) checkScarce(space backends.Space) {
	limit := s.config.warnBelow()
	s.mu.Lock()
	before := s.scarce[space.Storage]
	now := space.Free < limit || before && space.Free < limit+limit/8
	s.scarce[space.Storage] = now
	s.mu.Unlock()
	if now && !before {
		s.notify(scarceText(space))
	}
}

// scarceText says that space is scarce.
func scarceText(space backends.Space) string {
	return fmt.Sprintf("%s, which holds the disks of VMs, is nearly full: %d MiB are left. When it is full, VMs that write to their disks are paused",
		space.Name, space.Free>>20)
}

// resumeFull begins the operation that resumes a VM whose host's disk was full. It is
// refused while another one runs, and when the VM is not paused for that any more.
func (s *Service) resumeFull(name string) error {
	op := api.Operation{Kind: api.KindResume, Machine: name, Client: spaceClient}
	_, err := operation.Begin(s.ctx, s.engine, op, func(ctx context.Context) (resumeArgs, error) {
		st, err := s.statusNow(ctx, name)
		if err == nil && !st.Full {
			err = problem.New(problem.VMNotRunning, "%s is not paused because of its host: it is %s", name, st.State)
		}
		return resumeArgs{WhenFull: true}, err
	})
	return err
}

// doctorFull names the VMs that are paused.
func (s *Service) doctorFull() []api.Finding {
	var list []api.Finding
	for _, v := range s.List() {
		if e, ok := s.inventory.Get(v.Name); ok && e.Status.Full {
			list = append(list, api.Finding{
				Area: "machine " + v.Name, Code: "vm.host_full", Severity: backends.Warning,
				Message: v.Name + " is paused: the disk of its host is full",
				Fix: fmt.Sprintf("free %s or more there: the VM then resumes by itself. nixvmd kill %s powers it off instead",
					machine.FormatSize(s.config.resumeFrom()), v.Name),
			})
		}
	}
	return list
}

// doctorStorages names the storages of backends on other hosts, or of libvirt's own, that
// have too little space. Those of our own directories are in doctorSpace.
func (s *Service) doctorStorages(ctx context.Context) []api.Finding {
	var list []api.Finding
	for _, b := range s.backends {
		host, ok := backends.As[backends.SpaceHost](b)
		if _, here := backends.As[backends.FileHost](b); !ok || here || s.inventory.Silent(b.Name()) != nil {
			continue
		}
		space, err := ask(ctx, s, s.limits.ask, "the space of backend "+b.Name(), host.Space)
		if err == nil && space.Free < s.config.warnBelow() {
			list = append(list, api.Finding{
				Area: "backend " + b.Name(), Code: "disk.scarce", Severity: backends.Warning, Message: scarceText(space),
				Fix: "free space there: nixvmd delete-snapshot NAME SNAPSHOT removes a snapshot, nixvmd destroy NAME a machine",
			})
		}
	}
	return list
}
