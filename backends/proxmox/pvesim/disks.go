package pvesim

import "fmt"

// WriteDisk puts data into the disk of a VM, for a test that wants to know what
// became of it. Snapshots and clones have the data of their time.
func (s *Server) WriteDisk(vmid int, key, data string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.diskOf(vmid, key)
	if err != nil {
		return err
	}
	v.data = data
	return nil
}

// ReadDisk returns what was written to a disk last; the disk of an imported image
// has "sha256:" and the digest of the uploaded file. Without such a disk it is empty.
func (s *Server) ReadDisk(vmid int, key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.diskOf(vmid, key)
	if err != nil {
		return ""
	}
	return v.data
}

func (s *Server) diskOf(vmid int, key string) (*volume, error) {
	vm := s.vms[vmid]
	if vm == nil {
		return nil, fmt.Errorf("there is no VM %d", vmid)
	}
	d, ok := vm.drive(key)
	if !ok {
		return nil, fmt.Errorf("VM %d has no %s", vmid, key)
	}
	v, _, err := s.volume(d.volume, vm.node)
	return v, err
}
