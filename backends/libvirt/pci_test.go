package libvirt

import (
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/vfio"
	"github.com/nixvm/nixvm/backends/libvirt/libvirttest"
	"github.com/nixvm/nixvm/internal/problem"
)

// As virsh nodedev-dumpxml prints it on a host with an IOMMU (formatnode.html).
const gpuXML = `<device>
  <name>pci_0000_01_00_0</name>
  <path>/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0</path>
  <parent>pci_0000_00_01_0</parent>
  <driver><name>nvidia</name></driver>
  <capability type='pci'>
    <class>0x030000</class>
    <domain>0</domain><bus>1</bus><slot>0</slot><function>0</function>
    <product id='0x2204'>GA102 [GeForce RTX 3090]</product>
    <vendor id='0x10de'>NVIDIA Corporation</vendor>
    <iommuGroup number='1'>
      <address domain='0x0000' bus='0x00' slot='0x01' function='0x0'/>
      <address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </iommuGroup>
    <numa node='0'/>
    <pci-express><link validity='cap' port='0' speed='16' width='16'/><link validity='sta' speed='2.5' width='16'/></pci-express>
  </capability>
</device>`

const portXML = `<device>
  <name>pci_0000_00_01_0</name>
  <driver><name>pcieport</name></driver>
  <capability type='pci'>
    <class>0x060400</class>
    <domain>0</domain><bus>0</bus><slot>1</slot><function>0</function>
    <product id='0x1901'/><vendor id='0x8086'>Intel Corporation</vendor>
    <capability type='pci-bridge'/>
    <iommuGroup number='1'><address domain='0x0000' bus='0x00' slot='0x01' function='0x0'/></iommuGroup>
  </capability>
</device>`

func TestDevicesAreReadFromLibvirt(t *testing.T) {
	gpu, ok, err := nodeDevice(gpuXML)
	if err != nil || !ok || gpu.Address.String() != "0000:01:00.0" || gpu.Driver != "nvidia" || gpu.Group != 1 || gpu.Bridge ||
		gpu.Name() != "NVIDIA Corporation GA102 [GeForce RTX 3090]" || gpu.Class != 0x030000 || gpu.VendorID != 0x10de || gpu.ProductID != 0x2204 {
		t.Errorf("%+v, %v, %v", gpu, ok, err)
	}
	port, ok, err := nodeDevice(portXML)
	if err != nil || !ok || !port.Bridge || port.ProductID != 0x1901 {
		t.Errorf("%+v, %v, %v", port, ok, err)
	}
	b := &Backend{config: Config{Name: "lab"}, target: target{Transport: "ssh"}}
	if _, err := b.judge([]vfio.Device{port, gpu}, []string{"01:00.0"}); err != nil { // libvirt binds it
		t.Errorf("%v", err)
	}
	_, err = b.judge([]vfio.Device{port, gpu}, []string{"02:00.0"})
	if err == nil || !strings.Contains(err.Error(), "the host of backend lab has no PCI device 0000:02:00") {
		t.Errorf("%v", err)
	}
	for _, wrong := range []string{"", "<device><capability type='pci'><class>x</class><domain>0</domain><bus>1</bus><slot>0</slot><function>0</function></capability></device>"} {
		if d, _, err := nodeDevice(wrong); err == nil {
			t.Errorf("%q is read as %+v", wrong, d)
		}
	}
}

// libvirtd itself reads the definition, and says which devices it found in it.
func TestLibvirtTakesTheDefinitionOfPCIDevices(t *testing.T) {
	h := libvirttest.Start(t)
	gpu, _, err := nodeDevice(gpuXML)
	if err != nil {
		t.Fatal(err)
	}
	audio := gpu
	audio.Address.Function = 1
	spec := backends.Spec{
		Name: "gpu", UUID: "2c7e8d1a-8d5d-4d07-9a0c-6d1c4a3f1e11", MAC: "52:54:00:aa:bb:cc", MemoryMiB: 128, VCPUs: 1,
		Image: backends.Image{Kernel: "/kernel"},
	}
	p := blueprint{
		spec: spec, name: "gpu", accel: "tcg", network: "default", passed: []vfio.Passed{{Device: gpu}, {Device: audio, HideROM: true}},
		disks: disks{Boot: "/boot.qcow2", Format: "qcow2", State: "/state.qcow2", Identity: "/identity.iso", Kernel: "/kernel"},
	}
	text, err := p.define().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	h.Define(t, "define", text)
	got := h.Virsh(t, "dumpxml", "gpu")
	for _, want := range []string{
		"<hostdev mode='subsystem' type='pci' managed='yes'>", "<address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>",
		"<address domain='0x0000' bus='0x01' slot='0x00' function='0x1'/>", "<rom bar='off'/>", "model='pcie-root-port'",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the definition lacks %s:\n%s", want, got)
		}
	}
}

func TestARunningVMWithPCIDevicesIsNotMigrated(t *testing.T) {
	x := blueprint{}.define()
	if err := portable("demo", *x); err != nil {
		t.Errorf("without devices: %v", err)
	}
	x = blueprint{passed: []vfio.Passed{{}}}.define()
	if err := portable("demo", *x); !problem.HasCode(err, problem.Unsupported) || problem.From(err).Hint == "" {
		t.Errorf("with one: %v", err)
	}
}

// A backend on this host, which the tests run on, says why no VM gets a device, or which.
func TestPCIDevicesOfLibvirtsHost(t *testing.T) {
	h := libvirttest.Start(t)
	b, err := New(Config{URI: h.URI})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	list, err := b.PCIDevices(t.Context())
	if err != nil && !problem.HasCode(err, problem.Unsupported) {
		t.Fatal(err)
	}
	here, herr := vfio.Host{}.Devices()
	if herr != nil {
		t.Fatal(herr)
	}
	for _, d := range list {
		if !strings.HasPrefix(d.Address, "0000:") || len(here) == 0 {
			t.Errorf("%+v", d)
		}
	}
	err = b.CheckPCIDevices(t.Context(), backends.PCIRequest{Devices: []string{"0000:7f:1f.7"}})
	want := problem.PCIUnavailable
	if !(vfio.Host{}).HasIOMMU() || len(list) == 0 {
		want = problem.Unsupported
	}
	if !problem.HasCode(err, want) {
		t.Errorf("a device that is not there: %v, want %s", err, want)
	}
}
