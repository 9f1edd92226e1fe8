package pvesim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func powerHandlers() map[string]handler {
	base := "POST /nodes/{node}/qemu/{vmid}/status/"
	return map[string]handler{
		base + "start": startVM, base + "stop": stopVM, base + "shutdown": shutdownVM, base + "reboot": rebootVM,
		base + "reset": resetVM, base + "suspend": suspendVM, base + "resume": resumeVM,
	}
}

// inTask runs the work on a VM under its file lock. That the VM is missing is
// found by the task (recorded 84, 109).
func (s *Server) inTask(c *call, kind string, find func(id int, node string) (*machine, error), work func(t *task, vm *machine) error) (any, error) {
	if err := checkSkipLock(c); err != nil {
		return nil, err
	}
	id, node := c.number("vmid"), c.node()
	return s.run(c, node, kind, strconv.Itoa(id), func(t *task) error {
		if _, err := find(id, node); err != nil {
			return err
		}
		if err := s.lockFile(id, t); err != nil {
			return err
		}
		defer s.unlockFile(id)
		vm, err := find(id, node)
		if err != nil {
			return err
		}
		if !c.flag("skiplock") {
			if err := vm.unlocked(); err != nil {
				return err // recorded 415, 431
			}
		}
		return work(t, vm)
	}), nil
}

func startVM(s *Server, c *call) (any, error) {
	if s.managed(c) {
		return s.haRequest(c, "hastart", "started", func(t *task, vm *machine) error { return s.powerOn(t, vm) }), nil
	}
	id, node := c.number("vmid"), c.node()
	if err := checkSkipLock(c); err != nil {
		return nil, err
	}
	return s.run(c, node, "qmstart", strconv.Itoa(id), func(t *task) error {
		vm, err := s.vmOn(id, node)
		if err != nil {
			return err // recorded 85
		}
		return s.powerOn(t, vm)
	}), nil
}

// powerOn starts a VM under its file lock. One that was suspended to disk has a
// lock that the start removes (source).
func (s *Server) powerOn(t *task, vm *machine) error {
	if err := s.lockFile(vm.id, t); err != nil {
		return err // recorded 621
	}
	defer s.unlockFile(vm.id)
	if s.vms[vm.id] != vm {
		_, err := s.vmOn(vm.id, vm.node)
		return err
	}
	if vm.template() {
		return failf("you can't start a vm if it's a template") // facts 6
	}
	if vm.conf["lock"] != "suspended" {
		if err := vm.unlocked(); err != nil {
			return err
		}
	}
	if vm.running {
		return failf("VM %d already running", vm.id) // facts 7
	}
	delete(vm.conf, "lock")
	vm.conf, vm.pending = vm.withPending(), map[string]*string{}
	for _, key := range sortedKeys(vm.conf) {
		for part := range strings.SplitSeq(vm.conf[key], ",") {
			if bridge, ok := strings.CutPrefix(part, "bridge="); ok && strings.HasPrefix(key, "net") && !slices.Contains(s.config.Bridges, bridge) {
				return failf("bridge '%s' does not exist", bridge) // source; facts 4.2: fails at start
			}
		}
	}
	return s.boot(vm)
}

// boot lets the guest run, and watches for its end.
func (s *Server) boot(vm *machine) error {
	if err := s.giveFiles(vm); err != nil {
		return failf("start failed: %v", err)
	}
	hook := s.describe(vm)
	s.mu.Unlock()
	guest, err := s.config.Machines.Start(hook)
	s.mu.Lock()
	if err != nil {
		return failf("start failed: %v", err)
	}
	s.tasks.pid++
	vm.running, vm.paused, vm.started, vm.pid, vm.guest = true, false, time.Now(), s.tasks.pid, guest
	vm.execs, vm.frozen = map[int]*execution{}, false
	exited := make(chan struct{})
	vm.exited = exited
	s.wg.Go(func() {
		<-guest.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		vm.running, vm.paused, vm.guest = false, false, nil
		close(exited)
	})
	return nil
}

// describe is what hooks are told about a VM.
func (s *Server) describe(vm *machine) VM {
	hook := VM{ID: vm.id, Node: vm.node, Name: vm.name(), Config: maps.Clone(vm.conf)}
	for _, key := range diskKeys(vm.conf) {
		d, _ := vm.drive(key)
		if v, _, err := s.volume(d.volume, vm.node); err == nil && !strings.HasPrefix(key, "unused") {
			hook.Disks = append(hook.Disks, Disk{Key: key, Volume: v.id, Format: v.format, Media: d.options["media"], Size: v.size, File: v.file})
		}
	}
	return hook
}

// kill ends the guest and waits for it, without the mutex.
func (s *Server) kill(vm *machine) {
	if !vm.running {
		return
	}
	guest, exited := vm.guest, vm.exited
	s.mu.Unlock()
	guest.Kill()
	<-exited
	s.mu.Lock()
}

// powerOff ends the guest and does not wait.
func (vm *machine) powerOff() {
	if vm.running {
		vm.guest.Kill()
	}
}

// stopVM of a stopped VM succeeds (facts 7). With overrule-shutdown it ends the
// shutdowns that are under way (recorded 585).
func stopVM(s *Server, c *call) (any, error) {
	if s.managed(c) {
		if c.flag("overrule-shutdown") {
			return nil, invalidParameter("overrule-shutdown", "Not applicable for HA resources.") // source, API2/Qemu.pm, vm_stop
		}
		return s.haRequest(c, "hastop", "stopped", func(_ *task, vm *machine) error { s.kill(vm); return nil }), nil
	}
	if c.flag("overrule-shutdown") {
		for _, t := range s.tasks.order {
			if !t.done && t.kind == "qmshutdown" && t.id == c.get("vmid") && s.ownsTask(c, t) {
				t.cancel()
			}
		}
	}
	return s.inTask(c, "qmstop", s.vmConfig, func(_ *task, vm *machine) error {
		s.kill(vm)
		return nil
	})
}

// haRequest leaves the change of state to the HA manager (source).
func (s *Server) haRequest(c *call, kind, state string, act func(t *task, vm *machine) error) string {
	id, node, who := c.number("vmid"), c.node(), c.who.id
	return s.run(c, node, kind, strconv.Itoa(id), func(t *task) error {
		vm, err := s.vmOn(id, node)
		if err != nil {
			return err
		}
		t.logf("Requesting HA %s for VM %d", strings.TrimPrefix(kind, "ha"), id)
		s.ha[id] = state
		s.startTask(who, node, "qm"+strings.TrimPrefix(kind, "ha"), strconv.Itoa(id), nil, func(t *task) error { return act(t, vm) })
		return nil
	})
}

func resetVM(s *Server, c *call) (any, error) {
	if err := s.mustRun(c); err != nil {
		return nil, err
	}
	return s.inTask(c, "qmreset", s.vmConfig, func(_ *task, vm *machine) error {
		if err := s.live(vm, Live.Reset); err != nil {
			return err
		}
		vm.started = time.Now()
		return nil
	})
}

// mustRun refuses before a task starts (recorded 105, 255, 258).
func (s *Server) mustRun(c *call) error {
	vm, err := s.vmConfig(c.number("vmid"), c.node())
	if err != nil {
		return err
	}
	if !vm.running {
		return failf("VM %d not running", vm.id)
	}
	return nil
}

func suspendVM(s *Server, c *call) (any, error) {
	if err := s.mustRun(c); err != nil {
		return nil, err
	}
	if c.flag("todisk") {
		return s.inTask(c, "qmsuspend", s.vmConfig, func(_ *task, vm *machine) error {
			s.kill(vm)
			vm.conf["lock"] = "suspended" // source
			return nil
		})
	}
	return s.inTask(c, "qmpause", s.vmConfig, func(_ *task, vm *machine) error {
		if err := s.live(vm, Live.Pause); err != nil {
			return err
		}
		vm.paused = true
		return nil
	})
}

// resumeVM of a running VM succeeds (recorded 551).
func resumeVM(s *Server, c *call) (any, error) {
	if err := s.mustRun(c); err != nil {
		return nil, err
	}
	return s.inTask(c, "qmresume", s.vmConfig, func(_ *task, vm *machine) error {
		if err := s.live(vm, Live.Resume); err != nil {
			return err
		}
		vm.paused = false
		return nil
	})
}
