package qemuguest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
)

// Where Debian and its kin have OVMF.
const (
	firmwareCode      = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	firmwareVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

// args are those of QEMU for the configuration of a VM.
func (g *Guests) args(vm pvesim.VM) []string {
	memory, cores := vm.Config["memory"], vm.Config["cores"]
	if memory == "" {
		memory = "512"
	}
	if cores == "" {
		cores = "1"
	}
	args := []string{
		"-name", "guest=pvesim-" + strconv.Itoa(vm.ID), "-no-user-config", "-nodefaults", "-display", "none",
		"-machine", "q35", "-accel", g.accel, "-cpu", "max", "-m", memory, "-smp", cores,
		"-chardev", "socket,id=serial0,path=" + g.path(vm.ID, "serial") + ",server=on,wait=off,logfile=" + g.path(vm.ID, "console"), "-serial", "chardev:serial0",
		"-qmp", "unix:" + g.path(vm.ID, "qmp") + ",server=on,wait=off",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=ga,path=" + g.path(vm.ID, "ga") + ",server=on,wait=off",
		"-device", "virtserialport,chardev=ga,name=org.qemu.guest_agent.0", "-device", "virtio-rng-pci",
		"-device", "virtio-scsi-pci,id=scsi",
	}
	args = append(args, network(vm)...)
	order := strings.Split(strings.TrimPrefix(vm.Config["boot"], "order="), ";")
	for _, disk := range vm.Disks {
		switch {
		case strings.HasPrefix(disk.Key, "efidisk"):
			args = append(args, firmware(disk)...)
		case disk.File != "":
			args = append(args, drive(disk, slices.Index(order, disk.Key))...)
		}
	}
	return args
}

// network gives the guest its address by DHCP, and forwards its SSH port.
func network(vm pvesim.VM) []string {
	agent := pvesim.DefaultAgent(vm)
	if len(agent.Interfaces) < 2 {
		return nil
	}
	first := agent.Interfaces[1]
	address := first.Addresses[0].Addr()
	return []string{
		"-netdev", fmt.Sprintf("user,id=net0,restrict=on,net=%s,host=198.51.100.254,dns=198.51.100.253,dhcpstart=%s,hostfwd=tcp:%s:22-%s:22", pvesim.DefaultSubnet, address, address, address),
		"-device", "virtio-net-pci,netdev=net0,romfile=,mac=" + first.MAC,
	}
}

// drive attaches a disk, from which the guest boots if it has a place in the order.
func drive(disk pvesim.Disk, place int) []string {
	media, format := "disk", "qcow2,discard=unmap,cache=unsafe"
	if disk.Media == "cdrom" {
		media, format = "cdrom", "raw,readonly=on"
	}
	device := map[string]string{"scsi": "scsi-hd,bus=scsi.0", "virtio": "virtio-blk-pci", "ide": "ide-hd", "sata": "ide-hd"}[strings.TrimRight(disk.Key, "0123456789")]
	if media == "cdrom" {
		device = strings.Replace(device, "-hd", "-cd", 1)
	}
	device += ",id=" + disk.Key + ",drive=drive-" + disk.Key
	if place >= 0 {
		device += fmt.Sprintf(",bootindex=%d", place+1)
	}
	return []string{
		"-drive", fmt.Sprintf("if=none,id=drive-%s,media=%s,format=%s,file=%s", disk.Key, media, format, disk.File),
		"-device", device,
	}
}

// firmware is OVMF with the variables that are on a disk of the VM.
func firmware(disk pvesim.Disk) []string {
	return []string{
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + firmwareCode,
		"-drive", "if=pflash,unit=1,format=qcow2,cache=unsafe,id=drive-" + disk.Key + ",file=" + disk.File,
	}
}
