package pvesim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A storageType is what a kind of storage can do (facts 6, and the plugins of
// pve-storage: source).
type storageType struct {
	// files: volumes are files, with a directory for each VM in their names.
	files bool
	// format of a new volume where none is given; block storages have only raw.
	format string
	// linked: linked clones of a template.
	linked bool
	// snapshots of a volume, and of which formats.
	snapshots []string
	// copies: a full clone of a snapshot (source, volume_has_feature: copy of snap).
	copies bool
	// newest: a rollback only to the newest snapshot.
	newest bool
	// baseInName: a linked clone's name starts with that of its base.
	baseInName bool
}

var storageTypes = map[string]storageType{
	"dir":     {files: true, format: "raw", linked: true, copies: true, snapshots: []string{"qcow2"}, baseInName: true},
	"nfs":     {files: true, format: "raw", linked: true, copies: true, snapshots: []string{"qcow2"}, baseInName: true},
	"lvm":     {format: "raw"},
	"lvmthin": {format: "raw", linked: true, copies: true, snapshots: []string{"raw"}},
	"zfspool": {format: "raw", linked: true, snapshots: []string{"raw"}, newest: true, baseInName: true},
	"rbd":     {format: "raw", linked: true, copies: true, snapshots: []string{"raw"}, baseInName: true},
	"pbs":     {},
}

type storage struct {
	Storage
	storageType
	volumes map[string]map[string]*volume // by node ("" for shared) and volume ID
}

// A volume is an image, an ISO, an upload or a backup.
type volume struct {
	id      string // storage:name
	name    string
	content string
	format  string
	vmid    int
	size    int64 // virtual, of an image
	used    int64
	created time.Time
	parent  string // volume ID of the base of a linked clone
	base    bool
	notes   string
	archive *backup
	// file is the uploaded file, and data what a test wrote into the volume: of a
	// disk without a real guest, data says whose content it has.
	file string
	// own is set where file belongs to this volume alone, and may be written to.
	own   bool
	data  string
	image imageInfo
	snaps []volumeSnapshot
}

type volumeSnapshot struct {
	name, data, file string
	size             int64
}

func newStorage(config Storage) *storage {
	if config.Size == 0 {
		config.Size = 256 << 30
	}
	return &storage{Storage: config, storageType: storageTypes[config.Type], volumes: map[string]map[string]*volume{}}
}

func (st *storage) on(node string) bool { return len(st.Nodes) == 0 || slices.Contains(st.Nodes, node) }

func (st *storage) contentList() string { return strings.Join(st.Content, ",") }

func (st *storage) has(content string) bool { return slices.Contains(st.Content, content) }

// at are the volumes that a node sees.
func (st *storage) at(node string) map[string]*volume {
	if st.Shared {
		node = ""
	}
	if st.volumes[node] == nil {
		st.volumes[node] = map[string]*volume{}
	}
	return st.volumes[node]
}

func (st *storage) used(node string) int64 {
	var sum int64
	for _, v := range st.at(node) {
		sum += v.used
	}
	return sum
}

// directory is where a directory storage lies, as its logs show it (recorded 222, 518).
func (st *storage) directory() string {
	if st.Name == "local" {
		return "/var/lib/vz"
	}
	return "/var/lib/" + st.Name
}

// storage finds one that the node has.
func (s *Server) storage(name, node string) (*storage, error) {
	for _, st := range s.storages {
		if st.Name == name {
			if !st.on(node) {
				return nil, failf("storage '%s' is not available on node '%s'", name, node) // source
			}
			return st, nil
		}
	}
	return nil, failf("storage '%s' does not exist", name) // source
}

// volume finds one by its ID.
func (s *Server) volume(id, node string) (*volume, *storage, error) {
	name, _, ok := strings.Cut(id, ":")
	if !ok {
		return nil, nil, failf("unable to parse volume ID '%s'", id) // source
	}
	st, err := s.storage(name, node)
	if err != nil {
		return nil, nil, err
	}
	v := st.at(node)[id]
	if v == nil {
		return nil, st, failf("volume '%s' does not exist", id) // source
	}
	return v, st, nil
}

// path is the file of a volume, as logs and errors show it.
func (st *storage) path(v *volume) string {
	switch {
	case v.content == "images" && st.files:
		name := v.name[strings.LastIndex(v.name, "/")+1:]
		return fmt.Sprintf("%s/images/%d/%s", st.directory(), v.vmid, name)
	case v.content == "iso":
		return st.directory() + "/template/" + v.name
	case v.content == "backup":
		return st.directory() + "/dump/" + strings.TrimPrefix(v.name, "backup/")
	case st.files:
		return st.directory() + "/" + v.name
	}
	return "/dev/" + st.Name + "/" + v.name
}
