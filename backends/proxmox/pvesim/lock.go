package pvesim

import (
	"strconv"
	"time"
)

// Two things are called a lock. The file lock of a VM is held while a task or a
// request changes it; others wait for it, for 10 s. The member `lock` of its
// configuration says that a longer operation is under way, or was when the
// server died; others are refused at once (facts 7, VM locked and file lock).

func lockTimeout(id string) error {
	return failf("can't lock file '/var/lock/qemu-server/lock-%s.conf' - got timeout", id) // recorded 621
}

// lockFile takes the file lock of a VM; the log of the task tells of the wait
// (recorded 622, 670).
func (s *Server) lockFile(id int, t *task) error {
	return s.lockNamed(strconv.Itoa(id), t, lockTimeout(strconv.Itoa(id)))
}

func (s *Server) unlockFile(id int) { s.unlockNamed(strconv.Itoa(id)) }

func (s *Server) lockNamed(name string, t *task, timedOut error) error {
	if s.locks[name] == nil {
		s.locks[name] = make(chan struct{})
		return nil
	}
	if t != nil {
		t.logf("trying to acquire lock...")
	}
	timer := time.NewTimer(s.config.LockTimeout)
	defer timer.Stop()
	for s.locks[name] != nil {
		held := s.locks[name]
		s.mu.Unlock()
		expired := false
		select {
		case <-held:
		case <-timer.C:
			expired = true
		case <-s.ctx.Done():
			expired = true
		}
		s.mu.Lock()
		if expired {
			return timedOut
		}
	}
	s.locks[name] = make(chan struct{})
	if t != nil {
		t.logf(" OK")
	}
	return nil
}

func (s *Server) unlockNamed(name string) {
	close(s.locks[name])
	delete(s.locks, name)
}

// HoldLock takes the file lock of a VM, like another process of the node, until
// release is called.
func (s *Server) HoldLock(vmid int) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.lockFile(vmid, nil); err != nil {
		return func() {}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.unlockFile(vmid)
	}
}
