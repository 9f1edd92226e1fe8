package pvesim

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// createParameters are those of create that are not options of the VM.
var createParameters = []string{
	"node", "vmid", "archive", "bwlimit", "force", "live-restore", "pool", "start", "storage", "unique", "import-working-storage", "ha-managed",
}

// createVM checks in the order of the recorded refusals: 8, 42, 52, 645, 53.
func createVM(s *Server, c *call) (any, error) {
	id := c.number("vmid")
	path := fmt.Sprintf("/vms/%d", id)
	pool := c.get("pool")
	if pool != "" && s.pools[pool] == nil {
		return nil, failf("pool '%s' does not exist", pool) // source
	}
	inPool := pool != "" && s.may(c, "/pool/"+pool, "VM.Allocate")
	if c.has("archive") {
		return restoreVM(s, c, inPool)
	}
	if !inPool && !s.may(c, path, "VM.Allocate") {
		return nil, denied("") // recorded 8
	}
	options := c.rest(createParameters...)
	if err := s.checkDrives(c, id, options); err != nil {
		return nil, err
	}
	if err := s.asMember(id, pool, func() error { return s.checkOptions(c, id, options) }); err != nil {
		return nil, err
	}
	if err := s.freeID(id); err != nil {
		return nil, failf("unable to create VM %d - %v", id, err) // recorded 53
	}
	vm := s.newMachine(id, c.node(), map[string]string{"lock": "create"}) // source
	if pool != "" {
		s.pools[pool].members = append(s.pools[pool].members, id)
	}
	start := c.flag("start")
	t := s.startTask(c.who.id, vm.node, "qmcreate", strconv.Itoa(id), c.fault, func(t *task) error {
		if err := s.fill(t, vm, options); err != nil {
			s.forget(vm) // no VM is left (facts 4.2)
			return failf("unable to create VM %d - %v", id, err)
		}
		if start {
			// qmcreate ends before the VM runs (facts 4.2).
			s.startTask(t.who, vm.node, "qmstart", strconv.Itoa(id), nil, func(t *task) error { return s.powerOn(t, vm) })
		}
		return nil
	})
	t.undo = func() { s.forget(vm) }
	return t.upid, nil
}

// asMember counts a VM to a pool while f checks: its ACL holds for the new VM.
func (s *Server) asMember(id int, pool string, f func() error) error {
	if pool == "" {
		return f()
	}
	members := s.pools[pool].members
	s.pools[pool].members = append(slices.Clone(members), id)
	defer func() { s.pools[pool].members = members }()
	return f()
}

// freeID fails if any node has a VM of that number.
func (s *Server) freeID(id int) error {
	if vm := s.vms[id]; vm != nil {
		return failf("VM %d already exists on node '%s'", id, vm.node)
	}
	return nil
}

func (s *Server) newMachine(id int, node string, conf map[string]string) *machine {
	vm := &machine{id: id, node: node, conf: conf, pending: map[string]*string{}}
	s.vms[id] = vm
	return vm
}

// forget removes a VM and the volumes that belong to it.
func (s *Server) forget(vm *machine) {
	for _, st := range s.storages {
		for _, v := range maps.Clone(st.at(vm.node)) {
			if v.vmid == vm.id && v.content == "images" {
				delete(st.at(vm.node), v.id)
				s.dropFile(v)
			}
		}
	}
	delete(s.vms, vm.id)
	s.leavePool(vm.id)
}

// fill gives a new VM its options and disks (recorded 222, 381).
func (s *Server) fill(t *task, vm *machine, options map[string]string) error {
	conf := map[string]string{
		"smbios1": "uuid=" + uuid.NewString(), "vmgenid": uuid.NewString(),
		"meta": fmt.Sprintf("creation-qemu=10.0.13,ctime=%d", time.Now().Unix()),
	}
	for _, key := range sortedKeys(options) {
		value := options[key]
		if isDrive(key) {
			d, err := s.makeDrive(t, vm, parseDrive(key, value))
			if err != nil {
				return err
			}
			value = d.String()
		}
		conf[key] = normalOption(key, value)
	}
	if conf["boot"] == "" {
		conf["boot"] = "order=" + strings.Join(diskKeys(conf), ";") // source
	}
	vm.conf = conf
	return nil
}

// normalOption is how the configuration has a value.
func normalOption(key, value string) string {
	family := strings.TrimRight(key, "0123456789")
	switch {
	case key == "tags":
		tags := splitList(value)
		slices.Sort(tags)
		return strings.Join(slices.Compact(tags), ";") // facts 4.2
	case key == "vmgenid" && value == "1":
		return uuid.NewString() // schema
	case family == "net" && family != key && macOf(value) == "":
		model, rest, more := strings.Cut(value, ",")
		text := strings.TrimPrefix(model, "model=") + "=" + newMAC() // recorded 54
		if more {
			text += "," + rest
		}
		return text
	}
	return value
}

// newMAC is in the prefix of Proxmox (recorded 54).
func newMAC() string {
	var b [3]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("BC:24:11:%02X:%02X:%02X", b[0], b[1], b[2])
}
