package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/hostpci"
	"github.com/nixvm/nixvm/internal/problem"
)

// NoPCI is nil: which devices there are, the cluster says when it is asked.
func (b *Backend) NoPCI() *problem.Error { return nil }

// mapping is a name of the cluster for PCI devices of its nodes.
type mapping struct {
	ID, Description string
	Map             []string // "node=pve1,path=0000:01:00.0,id=10de:1eb8,..."
}

// nodes that have a device of the mapping.
func (m mapping) nodes() (all []string) {
	for _, entry := range m.Map {
		for _, part := range splitOptions(entry) {
			if part[0] == "node" && !slices.Contains(all, part[1]) {
				all = append(all, part[1])
			}
		}
	}
	return all
}

// mappings are those that the token may see.
func (b *Backend) mappings(ctx context.Context) ([]mapping, error) {
	var list []mapping
	err := b.api.Get(ctx, "/cluster/mapping/pci", nil, &list)
	slices.SortFunc(list, func(x, y mapping) int { return strings.Compare(x.ID, y.ID) })
	return list, b.problem(err)
}

// PCIDevices lists the mappings: a token can use devices in no other way.
func (b *Backend) PCIDevices(ctx context.Context) ([]backends.PCIDevice, error) {
	all, err := b.mappings(ctx)
	var list []backends.PCIDevice
	for _, m := range all {
		d := backends.PCIDevice{Address: "mapping=" + m.ID, Class: "mapping of " + strings.Join(m.nodes(), ", "), Name: backends.OneLine(m.Description)}
		for _, part := range splitOptions(strings.Join(m.Map, ",")) {
			if part[0] == "id" && d.ID == "" {
				d.ID = part[1]
			}
		}
		list = append(list, d)
	}
	return list, err
}

// CheckPCIDevices refuses what is no mapping, or none that the token may use, or not one of
// the node of the VM.
func (b *Backend) CheckPCIDevices(ctx context.Context, req backends.PCIRequest) error {
	nodes, err := b.deviceNodes(ctx, req.Devices)
	if err != nil || len(req.Devices) == 0 {
		return err
	}
	f, err := b.find(ctx, req.VM)
	if err != nil {
		return err
	}
	if f != nil && f.status.State != backends.Unknown && !slices.Contains(nodes, f.node) {
		return problem.New(problem.PCIUnavailable, "node %s, where VM %s is, does not have all of its PCI devices", f.node, req.VM.Name).
			WithHint("move the VM to a node that has them: %s", strings.Join(nodes, ", "))
	}
	return nil
}

// deviceNodes are the nodes that have all devices.
func (b *Backend) deviceNodes(ctx context.Context, devices []string) (nodes []string, err error) {
	if len(devices) == 0 {
		return nil, nil
	}
	if len(devices) > mostDevices {
		return nil, problem.New(problem.PCIUnavailable, "a VM can have %d PCI devices, not %d", mostDevices, len(devices)).WithHint("remove some")
	}
	all, err := b.mappings(ctx)
	if err != nil {
		return nil, err
	}
	for i, value := range devices {
		m, err := b.mappingFor(ctx, all, value)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			nodes = m.nodes()
		}
		nodes = slices.DeleteFunc(nodes, func(n string) bool { return !slices.Contains(m.nodes(), n) })
	}
	if len(nodes) == 0 {
		return nil, problem.New(problem.PCIUnavailable, "no node of the cluster has all PCI devices: %s", strings.Join(devices, ", ")).WithHint("nixvmd pci lists the nodes of each mapping")
	}
	return nodes, nil
}

// mostDevices is how many hostpci options a VM has (schema: hostpci0 to hostpci15).
const mostDevices = 16

// mappingFor is the mapping of one device.
func (b *Backend) mappingFor(ctx context.Context, all []mapping, value string) (mapping, error) {
	d, err := hostpci.Parse(value)
	if err != nil {
		return mapping{}, problem.New(problem.BadParams, "PCI device: %w", err)
	}
	if d.Mapping == "" {
		return mapping{}, problem.New(problem.PCIUnavailable, "PCI device %s is not a mapping: Proxmox VE lets API tokens use no others", value).
			WithHint("have an administrator map it (Datacenter, Resource Mappings), and write mapping=NAME")
	}
	g := grant{path: "/mapping/pci/" + d.Mapping, role: "NixVMPCI", privileges: []string{"Mapping.Use"}}
	i := slices.IndexFunc(all, func(m mapping) bool { return m.ID == d.Mapping })
	without, err := b.missing(ctx, g)
	switch {
	case err != nil:
		return mapping{}, b.problem(err)
	case len(without) > 0 || i < 0:
		return mapping{}, problem.New(problem.PCIUnavailable, "there is no PCI mapping %s that token %s may use", d.Mapping, b.api.TokenID()).
			WithHint("nixvmd pci lists those that there are; to grant it: %s", g.pveum(b.api.TokenID()))
	}
	return all[i], nil
}

// insertDevices sets the devices of a VM whose configuration is c, and removes others.
func insertDevices(p pve.Params, c conf, devices []string) {
	for i, value := range devices {
		p[fmt.Sprintf("hostpci%d", i)] = value
	}
	var gone []string
	for key := range c {
		if _, stays := p[key]; strings.HasPrefix(key, "hostpci") && !stays {
			gone = append(gone, key)
		}
	}
	if slices.Sort(gone); len(gone) > 0 {
		p["delete"] = strings.TrimPrefix(p["delete"]+","+strings.Join(gone, ","), ",")
	}
}
