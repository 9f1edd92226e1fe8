package pvesim

import (
	"encoding/json"
	"strings"
)

// giveFiles gives each volume of a VM a file that it alone writes to, where
// machines are real.
func (s *Server) giveFiles(vm *machine) error {
	files, real := s.config.Machines.(Disks)
	if !real {
		return nil
	}
	for _, key := range diskKeys(vm.conf) {
		v := s.written(vm, key)
		if v == nil || v.own {
			continue
		}
		path, err := s.overlay(files, key, v)
		if err != nil {
			return err
		}
		v.file, v.own = path, true
	}
	return nil
}

// written is the volume of a drive that a guest writes to; nil = it has none.
func (s *Server) written(vm *machine, key string) *volume {
	d, _ := vm.drive(key)
	v, _, err := s.volume(d.volume, vm.node)
	if err != nil || v.content != "images" || strings.HasPrefix(key, "unused") {
		return nil
	}
	return v
}

// overlay makes a file on top of that of a volume.
func (s *Server) overlay(files Disks, key string, v *volume) (string, error) {
	base := Disk{Key: key, Volume: v.id, Format: s.formats[v.file], Size: v.size, File: v.file}
	s.mu.Unlock()
	path, err := files.Overlay(base)
	s.mu.Lock()
	s.formats[path] = "qcow2"
	return path, err
}

// branch has all volumes of a VM written to other files from now on: what they had
// until now does not change any more, and is that of a snapshot or a copy.
func (s *Server) branch(vm *machine) (before map[*volume]string, err error) {
	before = map[*volume]string{}
	files, real := s.config.Machines.(Disks)
	fresh := map[string]string{}
	for _, d := range snapshotDrives(vm.conf) {
		v := s.written(vm, d.key)
		if v == nil {
			continue
		}
		before[v] = v.file
		if !real || !vm.running {
			v.own = false
			continue
		}
		if fresh[d.key], err = s.overlay(files, d.key, v); err != nil {
			return nil, err
		}
	}
	if len(fresh) == 0 {
		return before, nil
	}
	if err := s.live(vm, func(m Live) error { return m.Branch(fresh) }); err != nil {
		return nil, err
	}
	for key, file := range fresh {
		s.written(vm, key).file = file
	}
	return before, nil
}

// frozen is branch while the guest is frozen, where it has an agent. That it is not is
// no error (source).
func (s *Server) frozen(t *task, vm *machine) (map[*volume]string, error) {
	if vm.running && !vm.paused && vm.agentEnabled() && !s.agent(vm).Absent {
		if _, _, err := s.askLive(vm, "guest-fsfreeze-freeze", nil); err != nil {
			t.logf("guest-fsfreeze-freeze problem - %v", err)
		}
		defer func() {
			if _, _, err := s.askLive(vm, "guest-fsfreeze-thaw", nil); err != nil {
				t.logf("guest-fsfreeze-thaw problem - %v", err)
			}
		}()
	}
	return s.branch(vm)
}

// insert changes the medium of a CD drive while the VM runs. The same volume is no change
// (source, qemu-server, cleanup_pending): the guest keeps what it has.
func (s *Server) insert(vm *machine, key, value string) error {
	if !vm.running || !isDrive(key) || vm.conf[key] == value {
		return nil
	}
	d := parseDrive(key, value)
	if d.options["media"] != "cdrom" {
		return nil
	}
	file := ""
	if v, _, err := s.volume(d.volume, vm.node); err == nil {
		file = v.file
	}
	return s.live(vm, func(m Live) error { return m.Insert(key, file) })
}

// live asks a guest that runs, without the mutex. One that is not real succeeds.
func (s *Server) live(vm *machine, ask func(Live) error) error {
	guest, real := vm.guest.(Live)
	if !real {
		return nil
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	return ask(guest)
}

// askLive has the agent of a real guest answer; handled = there is one.
func (s *Server) askLive(vm *machine, command string, arguments any) (answer json.RawMessage, handled bool, err error) {
	guest, real := vm.guest.(Live)
	if !real {
		return nil, false, nil
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	answer, err = guest.Ask(command, arguments)
	return answer, true, err
}
