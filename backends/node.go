package backends

import (
	"context"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// Node is a host of a backend that consists of several.
type Node = api.Node

// NodeMigrator is a Backend of several nodes, between which VMs can move: the cluster
// moves them, with its own means. A VM keeps its disks, number and UUID. On which node it
// is, [Status].Node says: the cluster may move it by itself, which is an event
// [StateChanged].
type NodeMigrator interface {
	// Nodes lists the nodes that VMs can run on, also those that do not answer, sorted by
	// name.
	Nodes(ctx context.Context) ([]Node, error)
	// CheckNode refuses a node that the VM cannot move to now: one that does not exist
	// ([NoNode]), that is offline, or where it is already (params.invalid), and a VM that
	// is neither running nor off (vm.not_running). It changes nothing.
	CheckNode(ctx context.Context, vm Ref, node string) error
	// MigrateToNode moves a VM: running if it runs. On the node already, it is left alone.
	// After nil it is there; after an error it is where it was. When ctx ends, the move is
	// stopped. It may be called again after a crash at any point, and then goes on with
	// what it finds. When it cannot be told how the move ended, the error is ErrUnsettled,
	// and the same call settles it later.
	MigrateToNode(ctx context.Context, vm Ref, node string, report progress.Reporter) error
}

// NoNode is the refusal of a node that a backend does not have; there are those that it has.
func NoNode(backend, node string, there []Node) error {
	names := make([]string, len(there))
	for i, n := range there {
		names[i] = n.Name
	}
	return problem.New(problem.BadParams, "backend %s has no node %q", backend, node).WithHint("its nodes are %s", strings.Join(names, ", "))
}

// CheckNode is the part of NodeMigrator.CheckNode that follows from what is known: the
// nodes of a backend, and the status of the VM.
func CheckNode(b Backend, st Status, node string, there []Node) error {
	at := slices.IndexFunc(there, func(n Node) bool { return n.Name == node })
	switch {
	case st.State == Absent:
		return problem.New(problem.VMNotFound, "there is no VM %s on this backend", st.Name)
	case at < 0:
		return NoNode(b.Name(), node, there)
	case st.Node == node:
		return problem.New(problem.BadParams, "%s is already on node %s", st.Name, node).WithHint("name another node")
	case !there[at].Online:
		return problem.New(problem.BackendUnreachable, "node %s of backend %s is offline", node, b.Name()).WithHint("wait until it is back, or name another node").Retry()
	case st.State == Suspended:
		return problem.New(problem.VMNotRunning, "%s is suspended and cannot be migrated", st.Name).WithHint("nixvmd resume %s first", st.Name)
	case st.State != Running && st.State != Stopped:
		return problem.New(problem.VMNotRunning, "%s is %s and cannot be migrated", st.Name, st.State).WithHint("nixvmd status %s says what is wrong", st.Name)
	}
	return nil
}
