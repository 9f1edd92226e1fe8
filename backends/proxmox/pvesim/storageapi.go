package pvesim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func storageHandlers() map[string]handler {
	return map[string]handler{
		"GET /nodes/{node}/storage":                               listStorages,
		"GET /nodes/{node}/storage/{storage}/status":              storageStatus,
		"GET /nodes/{node}/storage/{storage}/content":             listContent,
		"POST /nodes/{node}/storage/{storage}/content":            allocate,
		"GET /nodes/{node}/storage/{storage}/content/{volume}":    readVolume,
		"DELETE /nodes/{node}/storage/{storage}/content/{volume}": deleteVolume,
		"POST /nodes/{node}/storage/{storage}/upload":             upload,
		"GET /nodes/{node}/storage/{storage}/import-metadata":     importMetadata,
		"GET /storage":           listStorageConfig,
		"GET /storage/{storage}": readStorageConfig,
		"PUT /storage/{storage}": changeStorage,
	}
}

// figures are those of a storage in a list (recorded 27).
func (st *storage) figures(node string) map[string]any {
	used := st.used(node)
	return map[string]any{
		"storage": st.Name, "type": st.Type, "content": st.contentList(), "active": 1, "enabled": 1, "shared": bit(st.Shared),
		"total": st.Size, "used": used, "avail": st.Size - used, "used_fraction": float64(used) / float64(st.Size),
	}
}

func listStorages(s *Server, c *call) (any, error) {
	list := []map[string]any{}
	for _, st := range s.storages {
		if !st.on(c.node()) || !s.may(c, "/storage/"+st.Name, "Datastore.Audit", "Datastore.AllocateSpace") || c.has("storage") && c.get("storage") != st.Name {
			continue
		}
		wanted := splitList(c.get("content"))
		if len(wanted) > 0 && !slices.ContainsFunc(wanted, st.has) {
			continue
		}
		list = append(list, st.figures(c.node()))
	}
	return list, nil
}

func storageStatus(s *Server, c *call) (any, error) {
	st, err := s.storage(c.get("storage"), c.node())
	if err != nil {
		return nil, err
	}
	figures := st.figures(c.node())
	delete(figures, "storage")
	delete(figures, "used_fraction")
	return figures, nil
}

func listContent(s *Server, c *call) (any, error) {
	st, err := s.storage(c.get("storage"), c.node())
	if err != nil {
		return nil, err
	}
	list := []map[string]any{}
	volumes := st.at(c.node())
	for _, id := range sortedKeys(volumes) {
		v := volumes[id]
		if (!c.has("content") || c.get("content") == v.content) && (!c.has("vmid") || c.number("vmid") == v.vmid) {
			list = append(list, v.entry(s, c.node()))
		}
	}
	return list, nil
}

// entry is a volume in the list (recorded 525, upload-cases).
func (v *volume) entry(s *Server, node string) map[string]any {
	entry := map[string]any{"volid": v.id, "content": v.content, "format": v.format, "size": v.size, "ctime": v.created.Unix()}
	switch v.content {
	case "images":
		entry["vmid"], entry["used"], entry["parent"] = v.vmid, v.used, nil
		if base, _, err := s.volume(v.parent, node); err == nil {
			entry["parent"] = fmt.Sprintf("../%s", strings.TrimPrefix(base.name, "/"))
		}
	case "backup":
		entry["vmid"], entry["subtype"] = v.vmid, "qemu" // schema
		if v.notes != "" {
			entry["notes"] = v.notes
		}
	}
	return entry
}

func (s *Server) volumeOf(c *call) (*volume, *storage, error) {
	id := c.get("volume")
	if !strings.Contains(id, ":") {
		id = c.get("storage") + ":" + id
	}
	st, err := s.storage(c.get("storage"), c.node())
	if err != nil {
		return nil, nil, err
	}
	v := st.at(c.node())[id]
	if v == nil && st.files {
		missing := &volume{name: strings.TrimPrefix(id, st.Name+":"), content: strings.SplitN(id[len(st.Name)+1:], "/", 2)[0]}
		return nil, st, failf("volume_size_info on '%s' failed - stat of '%s' failed: No such file or directory", id, st.path(missing)) // unseen
	}
	if v == nil {
		return nil, st, failf("no such volume '%s'", id) // unseen
	}
	return v, st, nil
}

func readVolume(s *Server, c *call) (any, error) {
	if err := s.checkAny(c, "/storage/"+c.get("storage"), "Datastore.Audit", "Datastore.AllocateSpace"); err != nil {
		return nil, err
	}
	v, st, err := s.volumeOf(c)
	if err != nil {
		return nil, err
	}
	return map[string]any{"path": st.path(v), "size": v.size, "used": v.used, "format": v.format}, nil // schema
}

// deleteVolume needs Datastore.Allocate (recorded 542), and deletes in a task (source).
func deleteVolume(s *Server, c *call) (any, error) {
	if err := s.check(c, "/storage/"+c.get("storage"), "Datastore.Allocate"); err != nil {
		return nil, err
	}
	v, st, err := s.volumeOf(c)
	if err != nil {
		return nil, err
	}
	id := st.Name
	if v.vmid != 0 {
		id = fmt.Sprintf("%d@%s", v.vmid, st.Name) // source
	}
	return s.run(c, c.node(), "imgdel", id, func(t *task) error {
		if err := s.freeVolume(st, c.node(), v); err != nil {
			return err
		}
		t.logf("Removed volume '%s'", v.id) // source
		return nil
	}), nil
}

// freeVolume refuses the base of linked clones (facts 6).
func (s *Server) freeVolume(st *storage, node string, v *volume) error {
	for _, other := range st.at(node) {
		if other.parent == v.id {
			return failf("base volume '%s' is still in use by linked cloned", v.name)
		}
	}
	delete(st.at(node), v.id)
	s.dropFile(v)
	return nil
}

// allocate makes a raw or qcow2 volume (schema).
func allocate(s *Server, c *call) (any, error) {
	st, err := s.storage(c.get("storage"), c.node())
	if err != nil {
		return nil, err
	}
	name := c.get("filename")
	format := c.get("format")
	if format == "" {
		format = "raw"
		if i := strings.LastIndex(name, "."); i >= 0 {
			format = name[i+1:]
		}
	}
	id := name
	if st.files {
		id = c.get("vmid") + "/" + name
	}
	id = st.Name + ":" + id
	if st.at(c.node())[id] != nil {
		return nil, failf("disk image '%s' already exists", id) // unseen
	}
	// A number without a unit is in KiB (source).
	bytes, err := parseSize(c.get("size"), 1<<10)
	if err != nil {
		return nil, err
	}
	st.at(c.node())[id] = newImage(id, format, c.number("vmid"), bytes)
	return id, nil
}

func listStorageConfig(s *Server, c *call) (any, error) {
	list := []map[string]any{}
	for _, st := range s.storages {
		if s.may(c, "/storage/"+st.Name, "Datastore.Audit", "Datastore.AllocateSpace") && (!c.has("type") || c.get("type") == st.Type) {
			list = append(list, s.storageConfig(st))
		}
	}
	return list, nil
}

func (s *Server) storageConfig(st *storage) map[string]any {
	entry := map[string]any{"storage": st.Name, "type": st.Type, "content": st.contentList(), "digest": s.storageDigest()}
	if st.files {
		entry["path"] = st.directory()
	}
	if st.Shared {
		entry["shared"] = 1
	}
	if len(st.Nodes) > 0 {
		entry["nodes"] = strings.Join(st.Nodes, ",")
	}
	return entry
}

func (s *Server) storageDigest() string {
	sum := sha1.New()
	for _, st := range s.storages {
		fmt.Fprintf(sum, "%s %s %s\n", st.Name, st.Type, st.contentList())
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func readStorageConfig(s *Server, c *call) (any, error) {
	for _, st := range s.storages {
		if st.Name == c.get("storage") {
			return s.storageConfig(st), nil
		}
	}
	return nil, failf("storage '%s' does not exist", c.get("storage")) // source
}

func changeStorage(s *Server, c *call) (any, error) {
	if digest := c.get("digest"); digest != "" && digest != s.storageDigest() {
		return nil, errDigest()
	}
	for _, st := range s.storages {
		if st.Name == c.get("storage") {
			if c.has("content") {
				st.Content = splitList(c.get("content"))
			}
			return map[string]any{"storage": st.Name, "type": st.Type}, nil
		}
	}
	return nil, failf("update storage failed: storage '%s' does not exist", c.get("storage")) // source
}

// parseSize reads sizes such as 32G or 4194304, in units of the second argument.
func parseSize(text string, unit int64) (int64, error) {
	match := diskSize.FindStringSubmatch(text)
	if match == nil {
		return 0, failf("unable to parse disk size '%s'", text)
	}
	if match[3] != "" {
		unit = map[string]int64{"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}[match[3]]
	}
	n, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		return 0, failf("unable to parse disk size '%s'", text)
	}
	return int64(n * float64(unit)), nil
}

// formatSize is 2G, 528K or 1000 (recorded 381).
func formatSize(bytes int64) string {
	units := []string{"", "K", "M", "G", "T"}
	i := 0
	for bytes >= 1024 && bytes%1024 == 0 && i < len(units)-1 {
		bytes /= 1024
		i++
	}
	return strconv.FormatInt(bytes, 10) + units[i]
}
