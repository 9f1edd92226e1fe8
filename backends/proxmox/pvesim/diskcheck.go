package pvesim

import (
	"fmt"
	"regexp"
	"strings"
)

// newVolume is the syntax for a new disk: storage and size in GiB.
var newVolume = regexp.MustCompile(`^([^:\s]+):(\d+(\.\d+)?)$`)

// checkDrives checks what a request wants for its drives, before anything is done.
func (s *Server) checkDrives(c *call, id int, options map[string]string) error {
	for _, key := range sortedKeys(options) {
		if !isDrive(key) {
			continue
		}
		if err := s.checkDrive(c, id, parseDrive(key, options[key])); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) checkDrive(c *call, id int, d drive) error {
	source, imports := d.options["import-from"]
	size := newVolume.FindStringSubmatch(d.volume)
	switch {
	case imports && (size == nil || size[2] != "0"):
		return invalidParameter(d.key, "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>") // facts 4.2
	case d.volume == "none" || d.volume == "cdrom":
		return nil
	case strings.HasPrefix(d.volume, "/") || strings.HasPrefix(source, "/"):
		if !c.who.isRoot() {
			return failf("Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.") // recorded 42
		}
		return failf("the simulator has no files outside its storages")
	case size == nil && !strings.HasSuffix(d.volume, ":cloudinit"):
		return s.checkVolumeAccess(c, id, d.volume)
	}
	st, err := s.storage(storageOf(d.volume), c.node())
	if err != nil {
		return err
	}
	if err := s.check(c, "/storage/"+st.Name, "Datastore.AllocateSpace"); err != nil {
		return err
	}
	if !st.has("images") {
		return failf("storage '%s' does not support vm images", st.Name) // source
	}
	if !imports {
		return nil
	}
	return s.checkImport(c, id, source)
}

// checkImport checks the source of an import. One that does not exist is found
// by the task (facts 4.2).
func (s *Server) checkImport(c *call, id int, source string) error {
	if v, _, err := s.volume(source, c.node()); err == nil && v.content != "import" && v.content != "images" {
		return failf("'%s' has wrong type '%s' - needs to be 'images' or 'import'", source, v.content) // facts 4, bpg#2445
	}
	return s.checkVolumeAccess(c, id, source)
}

// checkVolumeAccess is what PVE::Storage::check_volume_access asks (source).
func (s *Server) checkVolumeAccess(c *call, id int, volume string) error {
	path := "/storage/" + storageOf(volume)
	_, name, _ := strings.Cut(volume, ":")
	if strings.HasPrefix(name, "import/") || strings.HasPrefix(name, "iso/") {
		return s.checkAny(c, path, "Datastore.AllocateSpace", "Datastore.Audit")
	}
	if strings.HasPrefix(name, "backup/") {
		return s.check(c, path, "Datastore.Allocate")
	}
	v, _, err := s.volume(volume, c.node())
	if err != nil || v.vmid == id {
		return s.check(c, path, "Datastore.AllocateSpace")
	}
	if s.may(c, fmt.Sprintf("/vms/%d", v.vmid), "VM.Config.Disk") {
		return nil
	}
	return s.check(c, path, "Datastore.Allocate")
}
