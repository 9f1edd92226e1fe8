package pvesim

import "time"

// shutdownVM asks the guest to end and waits, holding the file lock of the VM all
// the time (recorded 562, 621).
func shutdownVM(s *Server, c *call) (any, error) {
	if s.managed(c) { // source, API2/Qemu.pm, vm_shutdown
		timeout := c.seconds("timeout", 60)
		return s.haRequest(c, "hastop", "stopped", func(t *task, vm *machine) error { return s.shutdown(t, vm, timeout, true) }), nil
	}
	return s.inTask(c, "qmshutdown", s.vmConfig, func(t *task, vm *machine) error {
		return s.shutdown(t, vm, c.seconds("timeout", 60), c.flag("forceStop"))
	})
}

// rebootVM shuts down and starts, with the changes that waited for it (schema).
func rebootVM(s *Server, c *call) (any, error) {
	if err := s.mustRun(c); err != nil {
		return nil, err
	}
	return s.inTask(c, "qmreboot", s.vmConfig, func(t *task, vm *machine) error {
		if err := s.shutdown(t, vm, c.seconds("timeout", 60), false); err != nil {
			return err
		}
		vm.conf, vm.pending = vm.withPending(), map[string]*string{}
		return s.boot(vm)
	})
}

func (c *call) seconds(name string, otherwise int) time.Duration {
	if c.has(name) {
		otherwise = c.number(name)
	}
	return time.Duration(otherwise) * time.Second
}

// shutdown waits for the guest as long as the timeout, scaled. A stop that
// overrules it ends the task.
func (s *Server) shutdown(t *task, vm *machine, timeout time.Duration, force bool) error {
	if !vm.running {
		return nil // recorded 339
	}
	if vm.agentEnabled() && s.agent(vm).Absent {
		t.logf("QEMU Guest Agent is not running - VM %d qga command 'guest-ping' failed - got timeout", vm.id) // recorded 566
	}
	guest, exited := vm.guest, vm.exited
	timer := time.NewTimer(time.Duration(float64(timeout) * s.config.Delay))
	defer timer.Stop()
	s.mu.Unlock()
	guest.PowerDown()
	ended := waitFor(exited, guest.Done(), timer.C, t.cancelled, s.ctx.Done())
	s.mu.Lock()
	switch {
	case ended || t.stopped:
		return nil
	case force:
		t.logf("VM quit/powerdown failed - terminating now with SIGTERM") // source
		s.kill(vm)
		return nil
	}
	return failf("VM quit/powerdown failed - got timeout") // recorded 565
}

// waitFor tells whether the guest ended; one that has ended is waited for even
// where no time is left.
func waitFor(exited, done <-chan struct{}, timeout <-chan time.Time, cancelled, closing <-chan struct{}) bool {
	select {
	case <-done:
		<-exited
		return true
	default:
	}
	select {
	case <-exited:
		return true
	case <-timeout:
	case <-cancelled:
	case <-closing:
	}
	return false
}
