package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

// grant is what the token needs on an object of the cluster.
type grant struct {
	path       string
	role       string // of the commands that are proposed
	privileges []string
	// without says what does not work if they are missing; empty = nothing works.
	without string
}

// grants are all privileges that the backend uses, on a release of the server.
func (c Config) grants(v version) []grant {
	agent := []string{"VM.GuestAgent.Audit", "VM.GuestAgent.FileSystemMgmt"}
	if !v.atLeast(9, 0) {
		agent = []string{"VM.Monitor"}
	}
	vms := []string{
		"VM.Allocate", "VM.Audit", "VM.Clone", "VM.PowerMgmt", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Disk",
		"VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.Snapshot", "VM.Snapshot.Rollback",
	}
	vms = append(vms, agent...)
	all := []grant{{path: "/vms", role: "NixVM", privileges: vms}}
	if c.Pool != "" {
		all[0].path = "/pool/" + c.Pool
		all[0].privileges = append(all[0].privileges, "Pool.Audit")
	}
	images := grant{path: "/storage/" + c.Images, role: "NixVMImages", privileges: []string{"Datastore.AllocateTemplate", "Datastore.Audit"}}
	disks := grant{path: "/storage/" + c.Disks, role: "NixVMDisks", privileges: []string{"Datastore.AllocateSpace", "Datastore.Audit"}}
	if c.Images == c.Disks {
		images.privileges = append(images.privileges, "Datastore.AllocateSpace")
		all = append(all, images)
	} else {
		all = append(all, images, disks)
	}
	agentRuns := grant{
		path: all[0].path, role: "NixVMAgent", privileges: []string{"VM.GuestAgent.Unrestricted"},
		without: "changes of ports, keys and other parts of the identity wait for the next start of a VM",
	}
	if v.atLeast(9, 0) { // before, VM.Monitor is enough
		all = append(all, agentRuns)
	}
	return append(all,
		grant{path: all[0].path, role: "NixVMMigrate", privileges: []string{"VM.Migrate"}, without: "VMs cannot be moved between nodes"},
		grant{path: all[0].path, role: "NixVMConsole", privileges: []string{"VM.Console"}, without: "consoles cannot be opened"},
		grant{path: "/sdn/zones/localnetwork", role: "NixVMNetwork", privileges: []string{"SDN.Use"}},
		grant{
			path: "/storage/" + c.Images, role: "NixVMCleanup", privileges: []string{"Datastore.Allocate"},
			without: "uploads cannot be deleted: the identity media of destroyed VMs, with their host keys, and unused images stay on the storage",
		})
}

// missing are the privileges of a grant that the token does not have.
func (b *Backend) missing(ctx context.Context, g grant) ([]string, error) {
	var at map[string]map[string]int
	if err := b.api.Get(ctx, "/access/permissions", pve.Params{"path": g.path}, &at); err != nil {
		return nil, err
	}
	var without []string
	for _, p := range g.privileges {
		if _, has := at[g.path][p]; !has {
			without = append(without, p)
		}
	}
	return without, nil
}

// pveum are the commands with which an administrator grants it.
func (g grant) pveum(token string) string {
	user, _, _ := strings.Cut(token, "!")
	return fmt.Sprintf("on a node, as root: pveum role add %s --privs '%s' && pveum acl modify %s --roles %s --users '%s' --tokens '%s'",
		g.role, strings.Join(slices.Sorted(slices.Values(g.privileges)), " "), g.path, g.role, user, token)
}

// checkPrivileges names each privilege that is missing, with its path.
func (b *Backend) checkPrivileges(ctx context.Context, v version) ([]backends.Finding, error) {
	var all []backends.Finding
	for _, g := range b.config.grants(v) {
		without, err := b.missing(ctx, g)
		if err != nil {
			return all, err
		}
		if len(without) == 0 {
			continue
		}
		f := backends.Finding{
			Code: "proxmox.privileges", Severity: backends.Fatal, Fix: g.pveum(b.api.TokenID()),
			Message: fmt.Sprintf("token %s lacks %s on %s", b.api.TokenID(), strings.Join(without, ", "), g.path),
		}
		if g.without != "" {
			f.Severity = backends.Warning
			f.Message += ": " + g.without
		}
		all = append(all, f)
	}
	return all, nil
}
