package qemu

import (
	"path/filepath"

	"github.com/nixvm/nixvm/backends/qemu/netstack"
	"github.com/nixvm/nixvm/backends/qemu/qemulog"
	"github.com/nixvm/nixvm/internal/paths"
)

// Files in state/vms/<name>/, the directory of one VM.
const (
	recordFile   = "vm.json"        // record: port, running process, descriptions of snapshots
	lockFile     = "lock"           // flock held by the nixvmd that owns the VM
	bootFile     = "boot.qcow2"     // overlay on the shared image, made anew at every start
	varFile      = "var.qcow2"      // state disk; blank when created, the guest formats it; holds the snapshots
	diskFile     = "disk.qcow2"     // mutable: the only disk, a full copy of the image; holds the snapshots
	identityFile = "identity.iso"   // identity medium, written at every start
	varsFile     = "efivars.fd"     // UEFI variables, when booted by UEFI
	pidFile      = "qemu.pid"       // written by QEMU, removed by QEMU when it ends in order
	logFile      = qemulog.Name     // what QEMU says, the last part since the last start
	networkLog   = netstack.LogName // what the network process says, and what it refused to the guest
	serialFile   = "serial.log"     // serial console, the last part; see serialLimit
	oldSerial    = "serial.log.old"
	oldSuffix    = ".old" // the same of the start before, or the part before, for the other logs
)

// Directories beside the VMs' own. No machine name begins with a dot.
const (
	createPrefix  = ".create-"  // a VM that is being made; renamed when complete
	destroyPrefix = ".destroy-" // a VM that is being removed
)

// vmFiles names the files of one VM.
type vmFiles struct {
	dir     string // state/vms/<name>
	runtime string // runtime/vm/<hash>, where the sockets are if they cannot be in dir
}

func filesOf(l paths.Layout, name string) vmFiles {
	return vmFiles{dir: l.VM(name), runtime: l.VMRuntime(name)}
}

func (f vmFiles) path(name string) string { return filepath.Join(f.dir, name) }

// state is the disk that holds what the guest keeps, and the snapshots.
func (f vmFiles) state(mutable bool) string {
	if mutable {
		return f.path(diskFile)
	}
	return f.path(varFile)
}
