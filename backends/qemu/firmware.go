package qemu

import (
	"github.com/nixvm/nixvm/backends/internal/host"
	"github.com/nixvm/nixvm/internal/problem"
)

// Firmware is an UEFI for x86_64: code, mapped read-only and shared, and the
// template of the variables, copied for every VM.
type Firmware struct {
	Code, Vars string
}

// firmwarePlaces are where distributions keep OVMF, 4 MiB builds first: newer
// ones come in that size only.
var firmwarePlaces = []Firmware{
	{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},                                           // Debian, Ubuntu
	{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},                                   // Arch
	{"/usr/share/edk2-ovmf/x64/OVMF_CODE.4m.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.4m.fd"},                         // Arch, earlier
	{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},                                       // Fedora
	{"/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"},                           // openSUSE
	{"/run/libvirt/nix-ovmf/edk2-x86_64-code.fd", "/run/libvirt/nix-ovmf/edk2-i386-vars.fd"},                         // NixOS with libvirtd, 24.11 and later
	{"/run/libvirt/nix-ovmf/OVMF_CODE.fd", "/run/libvirt/nix-ovmf/OVMF_VARS.fd"},                                     // NixOS with libvirtd
	{"/run/current-system/sw/share/qemu/edk2-x86_64-code.fd", "/run/current-system/sw/share/qemu/edk2-i386-vars.fd"}, // NixOS
	{"/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"},                                     // QEMU's own
	{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},                                                 // 2 MiB builds
}

// findFirmware returns the configured firmware, or the first that is there. A
// QEMU from the Nix store carries one beside itself.
func (b *Backend) findFirmware() (Firmware, error) {
	places := firmwarePlaces
	if b.firmware.Code != "" {
		places = []Firmware{b.firmware}
	} else if share, ok := b.qemuShare(); ok {
		places = append([]Firmware{{share + "/edk2-x86_64-code.fd", share + "/edk2-i386-vars.fd"}}, places...)
	}
	for _, p := range places {
		if host.Readable(p.Code) && host.Readable(p.Vars) {
			return p, nil
		}
	}
	return Firmware{}, problem.New(problem.BackendMissing, "there is no UEFI firmware (OVMF) for QEMU").
		WithHint("%s", installHint)
}
