package pvesim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A machine is a VM of the cluster.
type machine struct {
	id   int
	node string
	// conf is its configuration file without the snapshots.
	conf   map[string]string
	snaps  []*snapshot
	parent string
	// pending are changes that wait for a restart; nil deletes.
	pending map[string]*string

	running bool
	paused  bool
	started time.Time
	pid     int
	guest   Machine
	exited  chan struct{}
	execs   map[int]*execution
	files   map[string]string
	frozen  bool
}

// vm finds one; the error is that of a configuration file which is not there
// (recorded 32).
func (s *Server) vm(c *call) (*machine, error) {
	return s.vmOn(c.number("vmid"), c.node())
}

func (s *Server) vmOn(id int, node string) (*machine, error) {
	if vm := s.vms[id]; vm != nil && (vm.node == node || node == "localhost") {
		return vm, nil
	}
	return nil, failf("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", node, id)
}

// config finds one where the real server says it otherwise (recorded 105, 110, 129).
func (s *Server) vmConfig(id int, node string) (*machine, error) {
	vm, err := s.vmOn(id, node)
	if err != nil {
		return nil, failf("unable to find configuration file for VM %d on node '%s'", id, node)
	}
	return vm, nil
}

func (vm *machine) template() bool { return vm.conf["template"] == "1" }

func (vm *machine) name() string {
	if name := vm.conf["name"]; name != "" {
		return name
	}
	return fmt.Sprintf("VM %d", vm.id) // source
}

// memory is in bytes; 512 MiB by default (schema).
func (vm *machine) memory() int64 {
	text := strings.TrimPrefix(vm.conf["memory"], "current=")
	mib, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		mib = 512
	}
	return mib << 20
}

func (vm *machine) cpus() int {
	number := func(key string) int {
		if n, err := strconv.Atoi(vm.conf[key]); err == nil {
			return n
		}
		return 1
	}
	return number("cores") * number("sockets")
}

// unlocked fails while the configuration has a lock (recorded 415).
func (vm *machine) unlocked() error {
	if lock := vm.conf["lock"]; lock != "" {
		return failf("VM is locked (%s)", lock)
	}
	return nil
}

func (vm *machine) state() string {
	if vm.running {
		return "running"
	}
	return "stopped"
}

// figures are those of a VM in the list (recorded 56, 391, 533).
func (vm *machine) figures() map[string]any {
	figures := map[string]any{
		"vmid": vm.id, "name": vm.name(), "status": vm.state(), "cpus": vm.cpus(), "maxmem": vm.memory(), "maxdisk": vm.bootSize(),
		"cpu": 0, "mem": 0, "memhost": 0, "disk": 0, "netin": 0, "netout": 0, "uptime": 0,
	}
	if vm.conf["tags"] != "" {
		figures["tags"] = vm.conf["tags"]
	}
	if vm.conf["lock"] != "" {
		figures["lock"] = vm.conf["lock"]
	}
	if vm.template() {
		figures["template"] = 1
	}
	for key := range vm.conf {
		if strings.HasPrefix(key, "serial") {
			figures["serial"] = 1
		}
	}
	if vm.running {
		figures["pid"], figures["uptime"], figures["mem"] = vm.pid, int64(time.Since(vm.started)/time.Second)+1, vm.memory()/2
		for _, name := range []string{"cpu", "io", "memory"} {
			figures["pressure"+name+"some"], figures["pressure"+name+"full"] = 0, 0
		}
	}
	return figures
}

// bootSize is the size of the first disk of the boot order, which the list shows
// as maxdisk (recorded 391).
func (vm *machine) bootSize() int64 {
	order, _ := strings.CutPrefix(vm.conf["boot"], "order=")
	keys := strings.Split(order, ";")
	for _, key := range append(keys, diskKeys(vm.conf)...) {
		if d, ok := vm.drive(key); ok && d.options["media"] != "cdrom" {
			size, err := parseSize(d.options["size"], 1)
			if err == nil {
				return size
			}
		}
	}
	return 0
}

// A drive is a member such as scsi0 of a configuration.
type drive struct {
	key     string
	volume  string
	options map[string]string
}

var driveFamilies = []string{"ide", "sata", "scsi", "virtio", "efidisk", "tpmstate", "unused"}

func isDrive(key string) bool {
	family := strings.TrimRight(key, "0123456789")
	return family != key && slices.Contains(driveFamilies, family)
}

// diskKeys are the drives of a configuration in the order in which Proxmox VE
// goes over them for a snapshot: the buses, then the EFI disk (recorded 242).
func diskKeys(conf map[string]string) []string {
	var keys []string
	for _, family := range driveFamilies {
		for i := range 31 {
			key := family + strconv.Itoa(i)
			if _, ok := conf[key]; ok {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

func (vm *machine) drive(key string) (drive, bool) {
	text, ok := vm.conf[key]
	if !ok || !isDrive(key) {
		return drive{}, false
	}
	return parseDrive(key, text), true
}

// parseDrive splits a drive that was checked.
func parseDrive(key, text string) drive {
	d := drive{key: key, options: map[string]string{}}
	for i, part := range strings.Split(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		switch {
		case i == 0 && !ok:
			d.volume = part
		case name == "file" || name == "volume":
			d.volume = value
		case ok:
			d.options[name] = value
		}
	}
	return d
}

// String has the options in alphabetical order, as the real server writes them
// (recorded 381).
func (d drive) String() string {
	text := d.volume
	for _, name := range sortedKeys(d.options) {
		text += "," + name + "=" + d.options[name]
	}
	return text
}

func storageOf(volume string) string {
	name, _, _ := strings.Cut(volume, ":")
	return name
}
