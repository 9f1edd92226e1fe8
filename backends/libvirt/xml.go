package libvirt

import (
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/backends/internal/vfio"
)

// agentChannel is the name of the guest agent's port.
const agentChannel = "org.qemu.guest_agent.0"

// blueprint is all that a definition is made from.
type blueprint struct {
	spec    backends.Spec
	mark    mark
	disks   disks
	name    string // of the domain
	accel   string // "kvm" or "tcg"
	network string // libvirt network; unused with a bridge or a port
	port    int    // on 127.0.0.1, forwarded to the guest's 22; 0 = a network card on the network
	machine string // machine type; empty = libvirt's newest q35
	passed  []vfio.Passed
}

// define makes the definition (https://libvirt.org/formatdomain.html). Values
// of the user reach XML through libvirtxml only.
func (p blueprint) define() *libvirtxml.Domain {
	x := &libvirtxml.Domain{
		Type: p.virtType(), Name: p.name, UUID: p.spec.UUID,
		Title:      title(p.spec.Name),
		Metadata:   &libvirtxml.DomainMetadata{XML: p.mark.String()},
		Memory:     &libvirtxml.DomainMemory{Value: uint(p.spec.MemoryMiB), Unit: "MiB"},
		VCPU:       &libvirtxml.DomainVCPU{Value: uint(p.spec.VCPUs)},
		OS:         p.os(),
		Features:   &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}, VMPort: &libvirtxml.DomainFeatureState{State: "off"}},
		CPU:        &libvirtxml.DomainCPU{Mode: "maximum"},
		Clock:      &libvirtxml.DomainClock{Offset: "utc"},
		OnPoweroff: "destroy",
		OnReboot:   "restart",
		OnCrash:    "destroy",
		Devices:    p.devices(),
	}
	if p.accel == host.KVM {
		x.CPU.Mode = "host-passthrough"
	}
	if p.disks.Label != "" {
		x.SecLabel = []libvirtxml.DomainSecLabel{{Type: "static", Model: "dac", Relabel: "no", Label: p.disks.Label}}
	}
	if p.port != 0 {
		p.forward(x)
	}
	return x
}

// title is what virt-manager and virsh show beside the name.
func title(machine string) string { return "nixvm machine " + machine }

func (p blueprint) virtType() string {
	if p.accel == host.KVM {
		return "kvm"
	}
	return "qemu"
}

func (p blueprint) os() *libvirtxml.DomainOS {
	machine := p.machine
	if machine == "" {
		machine = "q35"
	}
	os := &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Arch: "x86_64", Machine: machine, Type: "hvm"}}
	if p.disks.Kernel != "" {
		os.Kernel, os.Initrd, os.Cmdline = p.disks.Kernel, p.disks.Initrd, p.spec.Image.Cmdline
		return os
	}
	os.Firmware = "efi"
	os.FirmwareInfo = &libvirtxml.DomainOSFirmwareInfo{Features: []libvirtxml.DomainOSFirmwareFeature{{Enabled: "no", Name: "secure-boot"}}}
	os.BootDevices = []libvirtxml.DomainBootDevice{{Dev: "hd"}}
	if p.disks.NVRAM != "" {
		os.NVRam = &libvirtxml.DomainNVRam{NVRam: p.disks.NVRAM}
	}
	return os
}

// stateTarget is the state disk's name in the guest, and in snapshots.
func stateTarget(mutable bool) string {
	if mutable {
		return "vda"
	}
	return "vdb"
}

// devices: the boot disk is the shared image itself, read-only for QEMU, so
// that no guest can change it and libvirt lets the state disk alone have
// snapshots.
func (p blueprint) devices() *libvirtxml.DomainDeviceList {
	port, zero := uint(0), uint(0)
	l := &libvirtxml.DomainDeviceList{
		Serials:  []libvirtxml.DomainSerial{{Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}, Target: &libvirtxml.DomainSerialTarget{Port: &zero}}},
		Consoles: []libvirtxml.DomainConsole{{Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}, Target: &libvirtxml.DomainConsoleTarget{Type: "serial", Port: &port}}},
		Channels: []libvirtxml.DomainChannel{{
			Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{}},
			Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: agentChannel}},
		}},
		RNGs:       []libvirtxml.DomainRNG{{Model: "virtio", Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}}}},
		Videos:     []libvirtxml.DomainVideo{{Model: libvirtxml.DomainVideoModel{Type: "none"}}},
		MemBalloon: &libvirtxml.DomainMemBalloon{Model: "virtio"},
	}
	state := disk(p.disks.State, "qcow2", stateTarget(p.spec.Mutable))
	writable(state.Driver)
	if p.spec.Mutable {
		l.Disks = []libvirtxml.DomainDisk{state}
	} else {
		l.Disks = []libvirtxml.DomainDisk{readOnly(disk(p.disks.Boot, p.disks.Format, "vda")), state}
	}
	l.Disks = append(l.Disks, readOnly(disk(p.disks.Identity, "raw", "vdc")))
	l.Hostdevs = hostdevs(p.passed)
	if p.port == 0 {
		l.Interfaces = []libvirtxml.DomainInterface{p.nic()}
	}
	return l
}

func disk(path, format, target string) libvirtxml.DomainDisk {
	return libvirtxml.DomainDisk{
		Device: "disk",
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: format},
		Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}},
		Target: &libvirtxml.DomainDiskTarget{Dev: target, Bus: "virtio"},
	}
}

// writable: what the guest trims or zeroes is given back to the host. A write that finds
// the host's disk full pauses the VM and is repeated when it resumes: the guest does not
// see it. Other errors are the guest's.
func writable(d *libvirtxml.DomainDiskDriver) {
	d.Discard, d.DetectZeros = "unmap", "unmap"
	d.ErrorPolicy, d.RErrorPolicy = "enospace", "report"
}

func readOnly(d libvirtxml.DomainDisk) libvirtxml.DomainDisk {
	d.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	return d
}

// nic is the card on a bridge or a libvirt network.
func (p blueprint) nic() libvirtxml.DomainInterface {
	n := libvirtxml.DomainInterface{
		MAC:   &libvirtxml.DomainInterfaceMAC{Address: p.spec.MAC},
		Model: &libvirtxml.DomainInterfaceModel{Type: "virtio"},
		ROM:   &libvirtxml.DomainROM{Enabled: "no"},
	}
	if p.spec.Bridge != "" {
		n.Source = &libvirtxml.DomainInterfaceSource{Bridge: &libvirtxml.DomainInterfaceSourceBridge{Bridge: p.spec.Bridge}}
	} else {
		n.Source = &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: p.network}}
	}
	return n
}

// forward is the card of a session, which has no network: QEMU's user-mode one
// with a port on 127.0.0.1. libvirt can forward ports itself only with passt,
// which Debian switches off, so QEMU is told directly.
func (p blueprint) forward(x *libvirtxml.Domain) {
	x.QEMUCommandline = &libvirtxml.DomainQEMUCommandline{Args: []libvirtxml.DomainQEMUCommandlineArg{
		{Value: "-netdev"},
		{Value: fmt.Sprintf("user,id=nixvm0,ipv6=off,hostfwd=tcp:127.0.0.1:%d-:22", p.port)},
		{Value: "-device"},
		{Value: "virtio-net-pci,netdev=nixvm0,romfile=,bus=pcie.0,addr=0x1e,mac=" + p.spec.MAC},
	}}
}

// definition reads the definition of a domain.
func definition(l *golibvirt.Libvirt, dom golibvirt.Domain, flags golibvirt.DomainXMLFlags) (libvirtxml.Domain, error) {
	var x libvirtxml.Domain
	text, err := l.DomainGetXMLDesc(dom, flags)
	if err == nil {
		err = x.Unmarshal(text)
	}
	return x, err
}
