package proxmox_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/internal/problem"
)

// withPCI is a cluster with two mappings, of which the token may use one.
func withPCI(config pvesim.Config) pvesim.Config {
	config.PCI = map[string]string{"gpu": "0000:01:00", "secret": "0000:02:00.0"}
	token := pvesim.DefaultToken().ID
	user, _, _ := strings.Cut(token, "!")
	config.ACL = pvesim.DefaultACL(pvesim.DefaultVersion, token, pvesim.DefaultStorages())
	for _, who := range []string{user, token} {
		config.ACL = append(config.ACL, pvesim.ACL{Path: "/mapping/pci/gpu", Who: who, Role: "Use", Privileges: []string{"Mapping.Use"}})
	}
	return config
}

func TestAVMHasMappedPCIDevices(t *testing.T) {
	w := newWorld(t, withPCI(cluster(true)))
	b := w.opened(t)
	host, p := backends.PCIHostOf(b)
	if host == nil || p != nil {
		t.Fatal("the cluster has no PCI devices")
	}
	list, err := host.PCIDevices(t.Context())
	if err != nil || len(list) != 1 || list[0].Address != "mapping=gpu" || list[0].ID != "10de:1eb8" || !strings.Contains(list[0].Class, "pve1, pve2") {
		t.Errorf("%+v, %v", list, err)
	}
	spec := w.spec(t, "demo")
	for value, word := range map[string]string{"0000:01:00.0": "is not a mapping", "mapping=secret": "secret", "mapping=none": "none", "mapping=gpu,x=1": "x"} {
		if err := host.CheckPCIDevices(t.Context(), backends.PCIRequest{VM: spec.Ref(), Devices: []string{value}}); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", value, err)
		}
	}
	spec.PCIDevices = []string{"mapping=gpu,pcie=1"}
	w.make(t, b, spec)
	if err := host.CheckPCIDevices(t.Context(), backends.PCIRequest{VM: spec.Ref(), Devices: spec.PCIDevices}); err != nil {
		t.Error(err)
	}
	given := func(name string) string {
		var config struct{ HostPCI0 string }
		if err := w.api(t).Get(t.Context(), "/nodes/pve1/qemu/"+w.idOf(t, name)+"/config", nil, &config); err != nil {
			t.Fatal(err)
		}
		return config.HostPCI0
	}
	if got := given("demo"); !strings.Contains(got, "mapping=gpu") || !strings.Contains(got, "pcie=1") {
		t.Errorf("created with %q", got)
	}
	cloner, _ := backends.As[backends.Cloner](b)
	if err := cloner.Clone(t.Context(), backends.Source{VM: spec.Ref()}, w.spec(t, "copied"), nil); err != nil {
		t.Fatal(err)
	}
	if got := given("copied"); got != "" {
		t.Errorf("a clone has the device of its source: %q", got)
	}
	if err := b.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if err := nodesOf(t, b).CheckNode(t.Context(), spec.Ref(), "pve2"); !problem.HasCode(err, problem.Unsupported) || !strings.Contains(err.Error(), "PCI") {
		t.Errorf("a move while it runs: %v", err)
	}
	spec.PCIDevices = nil
	if err := errors.Join(b.Kill(t.Context(), spec.Ref()), b.Start(t.Context(), spec)); err != nil {
		t.Fatal(err)
	}
	if got := given("demo"); got != "" {
		t.Errorf("started without, it has %q", got)
	}
}
