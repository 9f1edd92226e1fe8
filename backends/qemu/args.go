package qemu

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/vfio"
)

// Node names of the disks (-blockdev); QMP commands use them.
const (
	bootNode     = "boot"
	stateNode    = "state"
	identityNode = "identity"
)

// PCI slots. They are fixed so that a guest sees the same hardware regardless of what is
// added later: vda, vdb, vdc are in slot order, and so are network names.
const (
	slotNet      = 2
	slotBoot     = 4
	slotState    = 5
	slotIdentity = 6
	slotSerial   = 7
	slotRandom   = 8
)

// Descriptors that QEMU inherits, after stdin, stdout and stderr.
const (
	fdQMP = 3 + iota
	fdAgent
	fdConsole
	fdTap // a tap device of the bridge
)

// launch is everything that decides the command line.
type launch struct {
	spec     backends.Spec
	files    vmFiles
	sockets  sockets
	accel    string
	port     int      // on 127.0.0.1, of the user-mode network
	firmware Firmware // when the image has no kernel; Vars is this VM's own copy
	passed   []vfio.Passed
}

// args builds QEMU's arguments. Nothing here passes through a shell; values in
// option lists are escaped, disks are given as JSON.
func (l launch) args() []string {
	a := []string{
		"-name", "guest=" + escape(l.spec.Name),
		"-uuid", l.spec.UUID,
		"-no-user-config", "-nodefaults", "-display", "none",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-machine", l.machine(),
	}
	a = append(a, host.Args(l.accel)...)
	a = append(a,
		"-smp", strconv.Itoa(l.spec.VCPUs), "-m", strconv.Itoa(l.spec.MemoryMiB),
		"-rtc", "base=utc",
		"-msg", "timestamp=on", "-pidfile", l.files.path(pidFile),
		"-S", // the virtual CPUs wait until the process is on record
		"-chardev", listener("qmp", fdQMP), "-mon", "chardev=qmp,mode=control",
		"-chardev", listener("console", fdConsole), "-serial", "chardev:console",
		"-chardev", listener("agent", fdAgent),
	)
	a = append(a, l.disks()...)
	a = append(a, l.network()...)
	a = append(a,
		"-device", device("virtio-serial-pci", slotSerial, "id=serial0"),
		"-device", "virtserialport,bus=serial0.0,chardev=agent,name=org.qemu.guest_agent.0,id="+agentPort,
		"-device", device("virtio-rng-pci", slotRandom),
	)
	a = append(a, l.passThrough()...)
	return append(a, l.boot()...)
}

func (l launch) machine() string {
	m := "q35,vmport=off,dump-guest-core=off"
	if l.spec.Image.Kernel == "" {
		m += ",pflash0=efi-code,pflash1=efi-vars"
	}
	return m
}

func (l launch) boot() []string {
	if i := l.spec.Image; i.Kernel != "" {
		a := []string{"-kernel", i.Kernel, "-append", i.Cmdline}
		if i.Initrd != "" {
			a = append(a, "-initrd", i.Initrd)
		}
		return a
	}
	return []string{
		"-blockdev", node{"driver": "raw", "node-name": "efi-code", "read-only": true, "file": file(l.firmware.Code)}.String(),
		"-blockdev", node{"driver": "raw", "node-name": "efi-vars", "file": file(l.firmware.Vars)}.String(),
	}
}

func (l launch) disks() []string {
	var a []string
	disk := func(n node, name string, slot int) {
		n["node-name"] = name
		dev := device("virtio-blk-pci", slot, "drive="+name, "id=disk-"+name, "serial="+name)
		if n["read-only"] != true {
			// A write that finds the host's disk full pauses the VM and is repeated when
			// it resumes: the guest does not see it. Other errors are the guest's.
			dev += ",werror=enospc,rerror=report"
		}
		if name == bootNode || l.spec.Mutable && name == stateNode {
			dev += ",bootindex=1"
		}
		a = append(a, "-blockdev", n.String(), "-device", dev)
	}
	if l.spec.Mutable {
		disk(qcow2(l.files.path(diskFile)), stateNode, slotState)
	} else {
		disk(qcow2(l.files.path(bootFile)), bootNode, slotBoot)
		disk(qcow2(l.files.path(varFile)), stateNode, slotState)
	}
	disk(node{"driver": "raw", "read-only": true, "file": file(l.files.path(identityFile))}, identityNode, slotIdentity)
	return a
}

func (l launch) network() []string {
	// Datagrams, because QEMU holds no connection then that could break: a network
	// process that is started again takes over where the last one ended. (QEMU's
	// streams do not survive an end in the middle of a frame, as of QEMU 10.)
	backend := "dgram,id=net0,local.type=unix,local.path=" + qemuWire + ",remote.type=unix,remote.path=" + netWire
	if l.spec.Bridge != "" {
		backend = fmt.Sprintf("tap,id=net0,fd=%d", fdTap)
	}
	return []string{
		"-netdev", backend,
		"-device", device("virtio-net-pci", slotNet, "netdev=net0", "mac="+l.spec.MAC, "romfile="),
	}
}

// node is one -blockdev.
type node map[string]any

func (n node) String() string {
	b, err := json.Marshal(map[string]any(n))
	if err != nil {
		panic(err) // strings, booleans and nodes only
	}
	return string(b)
}

// file is the protocol layer below a disk. Locking is on: a second QEMU on the
// same file is refused by QEMU itself.
func file(path string) node {
	return node{"driver": "file", "filename": path, "locking": "on"}
}

// qcow2 is a disk that gives the host back what the guest trims or zeroes.
func qcow2(path string) node {
	f := file(path)
	f["discard"] = "unmap"
	return node{"driver": "qcow2", "discard": "unmap", "detect-zeroes": "unmap", "file": f}
}

// listener is a character device on a socket that we opened and listen on.
func listener(id string, fd int) string {
	return fmt.Sprintf("socket,id=%s,fd=%d,server=on,wait=off", id, fd)
}

func device(driver string, slot int, more ...string) string {
	return strings.Join(append([]string{fmt.Sprintf("%s,bus=pcie.0,addr=0x%x", driver, slot)}, more...), ",")
}

// escape doubles commas, as QEMU's option lists want.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }
