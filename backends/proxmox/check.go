package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// version is a release of Proxmox VE, e.g. 9.1.
type version struct{ major, minor int }

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

// parseVersion reads "9.1" or "8.4.14".
func parseVersion(text string) (v version, err error) {
	if _, err := fmt.Sscanf(text, "%d.%d", &v.major, &v.minor); err != nil {
		return v, fmt.Errorf("the server says that it is version %q", text)
	}
	return v, nil
}

func (b *Backend) version(ctx context.Context) (version, error) {
	var answer struct{ Version, Release string }
	if err := b.api.Get(ctx, "/version", nil, &answer); err != nil {
		return version{}, err
	}
	return parseVersion(answer.Version)
}

// CheckCreate asks whether the cluster answers; see backends.CreateChecker.
func (b *Backend) CheckCreate(ctx context.Context) []backends.Finding {
	v, err := b.version(ctx)
	if err != nil {
		return []backends.Finding{unreachable(b.problem(err))}
	}
	return checkVersion(v)
}

// unreachable is the finding about a cluster that does not answer, or not to this token.
func unreachable(err error) backends.Finding {
	p := problem.From(err)
	return backends.Finding{Code: "proxmox.unreachable", Severity: backends.Fatal, Message: p.Message, Fix: p.Hint}
}

// Check asks for the release, the privileges of the token, the storages, the bridge and the
// firewall.
func (b *Backend) Check(ctx context.Context) []backends.Finding {
	v, err := b.version(ctx)
	if err != nil {
		return []backends.Finding{unreachable(b.problem(err))}
	}
	all := checkVersion(v)
	for _, check := range []func(context.Context) ([]backends.Finding, error){
		func(ctx context.Context) ([]backends.Finding, error) { return b.checkPrivileges(ctx, v) },
		func(ctx context.Context) ([]backends.Finding, error) { return b.checkNodes(ctx, v) },
		b.checkFirewall,
	} {
		found, err := check(ctx)
		if all = append(all, found...); err != nil {
			return append(all, unreachable(b.problem(err)))
		}
	}
	return all
}

// storage is one of a node.
type storage struct {
	Storage, Type, Content  string
	Active, Enabled, Shared int
	Avail                   uint64
}

func (s storage) holds(content string) bool {
	return slices.Contains(strings.Split(s.Content, ","), content)
}

// storages of a node by name, without those that the token may not see.
func (b *Backend) storages(ctx context.Context, node string) (map[string]storage, error) {
	var list []storage
	if err := b.api.Get(ctx, pve.Path("nodes", node, "storage"), nil, &list); err != nil {
		return nil, err
	}
	all := map[string]storage{}
	for _, s := range list {
		all[s.Storage] = s
	}
	return all, nil
}

// checkNodes checks the storages and the bridge of each node that may get VMs.
func (b *Backend) checkNodes(ctx context.Context, v version) ([]backends.Finding, error) {
	nodes, err := b.nodes(ctx)
	if err != nil {
		return nil, err
	}
	var all []backends.Finding
	usable := 0
	for _, n := range nodes {
		switch {
		case b.config.Node != "" && n.Node != b.config.Node:
			continue
		case !n.online():
			all = append(all, backends.Finding{Code: "proxmox.node_down", Severity: backends.Warning, Message: fmt.Sprintf("node %s is %s", n.Node, n.Status), Fix: "start the node; the state of its VMs is unknown until then"})
			continue
		}
		usable++
		found, err := b.checkNode(ctx, n.Node, v)
		if all = append(all, found...); err != nil {
			return all, err
		}
	}
	if usable == 0 && len(all) == 0 {
		all = append(all, backends.Finding{Code: "proxmox.node_missing", Severity: backends.Fatal, Message: "the cluster has no node " + b.config.Node, Fix: "name one of its nodes in the setting node, or any"})
	}
	return all, nil
}

func (b *Backend) checkNode(ctx context.Context, node string, v version) ([]backends.Finding, error) {
	storages, err := b.storages(ctx, node)
	if err != nil {
		return nil, err
	}
	var all []backends.Finding
	for _, want := range []struct{ storage, content, fix string }{
		{b.config.Images, "import", "images"}, {b.config.Images, "iso", "images"}, {b.config.Disks, "images", "disks"},
	} {
		s, there := storages[want.storage]
		f := backends.Finding{Code: "proxmox.storage", Severity: backends.Fatal}
		switch {
		case want.content == "import" && !v.canImport():
			continue // there is nothing to upload
		case !there:
			f.Message = fmt.Sprintf("node %s has no storage %s that the token may see", node, want.storage)
			f.Fix = fmt.Sprintf("name another one in the setting %s, or grant Datastore.Audit on /storage/%s", want.fix, want.storage)
		case s.Active == 0 || s.Enabled == 0:
			f.Message = fmt.Sprintf("storage %s of node %s is not active", want.storage, node)
			f.Fix = "pvesm status, on the node, says why"
		case !s.holds(want.content):
			f.Message = fmt.Sprintf("storage %s does not hold the content type %s", want.storage, want.content)
			f.Fix = fmt.Sprintf("on a node, as root: pvesm set %s --content %s,%s", want.storage, s.Content, want.content)
		default:
			continue
		}
		if !slices.ContainsFunc(all, func(o backends.Finding) bool { return o.Message == f.Message }) {
			all = append(all, f)
		}
	}
	bridges, err := b.bridgesOf(ctx, node)
	if err == nil && !hasBridge(bridges, b.config.Bridge) {
		all = append(all, backends.Finding{
			Code: "proxmox.bridge", Severity: backends.Warning,
			Message: fmt.Sprintf("node %s shows no bridge %s: VMs on it do not start there", node, b.config.Bridge), Fix: "name one of its bridges in the setting bridge: " + bridgeNames(bridges),
		})
	}
	return all, err
}
