package backendtest

import (
	"context"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

func testIdentity(s *suite) {
	if s.b.Name() == "" || s.b.Type() == "" {
		s.Errorf("Name %q, Type %q", s.b.Name(), s.b.Type())
	}
	for _, f := range s.b.Check(s.limit()) {
		if f.Code == "" || f.Message == "" || f.Severity == "" {
			s.Errorf("Check: incomplete finding %+v", f)
		}
		if f.Severity == backends.Fatal {
			s.Errorf("Check: this backend cannot work: %s (%s)", f.Message, f.Fix)
		}
	}
	if c, ok := backends.As[backends.CreateChecker](s.b); ok {
		for _, f := range c.CheckCreate(s.limit()) {
			if f.Severity == backends.Fatal {
				s.Errorf("CheckCreate: %+v, which Check does not have", f)
			}
		}
	}
	s.must(s.b.Close(), "Close")
	s.must(s.b.Close(), "a second Close")
	s.open()
}

func testAbsent(s *suite) {
	const name = "conf-absent"
	ctx := s.limit()
	s.state(name, backends.Absent)
	s.must(s.b.Destroy(ctx, backends.Named(name)), "Destroy of a VM that does not exist")
	for what, call := range s.calls(ctx, backends.Named(name), s.h.Spec(s.T, name)) {
		s.refused(call(), problem.VMNotFound, what)
	}
	s.state(name, backends.Absent)
}

func testBadInput(s *suite) {
	ctx := s.limit()
	for _, name := range []string{"", "../x", "a/b", "-rf", "A", "a\nb", "a b", strings.Repeat("a", 64)} {
		if st, err := s.b.Status(ctx, backends.Named(name)); err == nil && st.State != backends.Absent {
			s.Errorf("Status(%q) = %+v", name, st)
		}
		spec := s.h.Spec(s.T, "conf-bad")
		spec.Name = name
		s.refused(s.b.Create(ctx, spec, nil), problem.MachineNameInvalid, "Create with the name "+name)
		if err := s.b.Destroy(ctx, backends.Named(name)); err == nil {
			s.Errorf("Destroy(%q) is accepted", name)
		}
	}
	changes := map[string]struct {
		code   problem.Code
		change func(*backends.Spec)
	}{
		"no memory":                   {problem.SizeInvalid, func(p *backends.Spec) { p.MemoryMiB = 0 }},
		"no CPU":                      {problem.SizeInvalid, func(p *backends.Spec) { p.VCPUs = -1 }},
		"no disk":                     {problem.SizeInvalid, func(p *backends.Spec) { p.DiskBytes = 0 }},
		"a bad MAC":                   {problem.MachineInvalid, func(p *backends.Spec) { p.MAC = "aa:bb,cc" }},
		"a bad UUID":                  {problem.MachineInvalid, func(p *backends.Spec) { p.UUID = "x,y" }},
		"no image file":               {problem.ImageNotFound, func(p *backends.Spec) { p.Image.Disk += "-is-not-there" }},
		"an image that does not boot": {problem.ImageUnsupported, func(p *backends.Spec) { p.Image.NoBootLoader, p.Image.Kernel = true, "" }},
		"an image that does not boot a mutable VM": {problem.ImageUnsupported, func(p *backends.Spec) { p.Image.NoBootLoader, p.Mutable = true, true }},
	}
	if !s.can.PCIDevices {
		changes["PCI devices, which this backend does not pass through"] = struct {
			code   problem.Code
			change func(*backends.Spec)
		}{problem.Unsupported, func(p *backends.Spec) { p.PCIDevices = []string{"0000:01:00"} }}
	}
	for what, c := range changes {
		spec := s.h.Spec(s.T, "conf-bad")
		c.change(&spec)
		s.refused(s.b.Create(ctx, spec, nil), c.code, "Create with "+what)
	}
	s.state("conf-bad", backends.Absent)
}

func testCreate(s *suite) {
	const name = "conf-create"
	cancelled, cancel := context.WithCancel(s.ctx)
	cancel()
	if err := s.b.Create(cancelled, s.h.Spec(s.T, name), nil); err == nil {
		s.Errorf("Create with a cancelled context succeeds")
	}
	s.state(name, backends.Absent)

	mark := s.events.mark()
	spec := s.create(name)
	s.becomes(mark, name, backends.Stopped)
	s.state(name, backends.Stopped)
	s.refused(s.b.Create(s.limit(), spec, nil), problem.VMExists, "a second Create")

	ctx := s.limit()
	s.must(s.b.Shutdown(ctx, backends.Named(name)), "Shutdown of a stopped VM")
	s.must(s.b.Kill(ctx, backends.Named(name)), "Kill of a stopped VM")
	_, err := s.b.Endpoint(ctx, backends.Named(name))
	s.refused(err, problem.VMNotRunning, "Endpoint of a stopped VM")

	s.autostart(name)
	s.limits(spec)
	s.namesake(spec, backends.Stopped)
	dead := spec
	dead.Image.NoBootLoader, dead.Image.Kernel = true, ""
	s.refused(s.b.Start(s.limit(), dead), problem.ImageUnsupported, "Start with an image that does not boot")
	if !s.can.PCIDevices {
		dead = spec
		dead.PCIDevices = []string{"0000:01:00"}
		s.refused(s.b.Start(s.limit(), dead), problem.Unsupported, "Start with PCI devices, which this backend does not pass through")
	}
	s.state(name, backends.Stopped)

	s.reopen()
	s.state(name, backends.Stopped)
	mark = s.events.mark()
	s.must(s.b.Destroy(s.limit(), backends.Named(name)), "Destroy")
	s.becomes(mark, name, backends.Absent)
	s.state(name, backends.Absent)
	s.must(s.b.Destroy(s.limit(), backends.Named(name)), "a second Destroy")
	s.must(s.b.Create(s.limit(), spec, nil), "Create after Destroy")
	s.state(name, backends.Stopped)
}

// limits of the host are said before anything starts.
func (s *suite) limits(spec backends.Spec) {
	s.Helper()
	host, ok := backends.As[backends.LimitedHost](s.b)
	if !ok {
		return
	}
	l := host.Limits(s.limit())
	for what, c := range map[string]struct {
		most   int
		change func(*backends.Spec)
	}{
		"too many CPUs":   {l.VCPUs, func(p *backends.Spec) { p.VCPUs = l.VCPUs + 1 }},
		"too much memory": {l.MemoryMiB, func(p *backends.Spec) { p.MemoryMiB = l.MemoryMiB + 1 }},
	} {
		if c.most == 0 {
			continue // not known, as that of a host that runs nothing
		}
		more := spec
		c.change(&more)
		s.refused(s.b.Start(s.limit(), more), problem.SizeInvalid, "Start with "+what)
	}
	s.state(spec.Name, backends.Stopped)
}

// autostart is switched on and off for a VM that is off.
func (s *suite) autostart(name string) {
	s.Helper()
	if !s.can.Autostart {
		return
	}
	s.startsWithHost(name, false)
	for _, on := range []bool{true, true, false} {
		s.must(as[backends.Autostarter](s).SetAutostart(s.limit(), backends.Named(name), on), "SetAutostart")
		s.startsWithHost(name, on)
	}
}

// startsWithHost checks what the host says, where it can be asked.
func (s *suite) startsWithHost(name string, want bool) {
	s.Helper()
	if s.h.Autostart != nil && s.h.Autostart(s.T, name) != want {
		s.Errorf("the host starts %s with it: %v, want %v", name, !want, want)
	}
}

func testHalfMade(s *suite) {
	if s.h.HalfMade == nil {
		s.Skip("this harness cannot leave a half-made VM")
	}
	const broken, whole = "conf-broken", "conf-whole"
	s.create(whole)
	s.h.HalfMade(s.T, broken)
	s.reopen()
	st, err := s.b.Status(s.limit(), backends.Named(broken))
	s.must(err, "Status of a half-made VM")
	if st.State != backends.Broken && st.State != backends.Absent {
		s.Errorf("a half-made VM is %s", st.State)
	}
	if st.State == backends.Broken && st.Reason == "" {
		s.Errorf("a broken VM without a reason")
	}
	s.state(whole, backends.Stopped)
	s.must(s.b.Destroy(s.limit(), backends.Named(broken)), "Destroy of a half-made VM")
	s.state(broken, backends.Absent)
	s.create(broken)
	s.state(broken, backends.Stopped)
}
