package backendtest

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
)

// testNodes moves a VM from one node of the backend to another: off, and, where a guest
// can be started without waiting for it, while it runs.
func testNodes(s *suite) {
	const name = "conf-node"
	if _, ok := backends.As[backends.NodeMigrator](s.b); !ok {
		s.Skip("this backend has no nodes")
	}
	nodes, err := as[backends.NodeMigrator](s).Nodes(s.limit())
	s.must(err, "Nodes")
	if !slices.IsSortedFunc(nodes, func(a, b backends.Node) int { return strings.Compare(a.Name, b.Name) }) {
		s.Errorf("the nodes %v are not sorted", nodes)
	}
	absent := backends.Named(name)
	s.refused(as[backends.NodeMigrator](s).CheckNode(s.limit(), absent, nodes[0].Name), problem.VMNotFound, "CheckNode of a VM that does not exist")
	s.refused(as[backends.NodeMigrator](s).MigrateToNode(s.limit(), absent, nodes[0].Name, nil), problem.VMNotFound, "MigrateToNode of a VM that does not exist")
	spec := s.create(name)
	if s.snapshots() {
		s.snapshot(name, backends.SnapshotRequest{Name: "one"})
	}
	here := s.node(spec.Ref())
	at := slices.IndexFunc(nodes, func(n backends.Node) bool { return n.Online && n.Name != here })
	if at < 0 {
		s.Skip("no other node is online")
	}
	there := nodes[at].Name
	s.refused(as[backends.NodeMigrator](s).CheckNode(s.limit(), spec.Ref(), here), problem.BadParams, "CheckNode of the node where it is")
	s.refused(as[backends.NodeMigrator](s).CheckNode(s.limit(), spec.Ref(), "no-such-node"), problem.BadParams, "CheckNode of a node that does not exist")
	s.must(as[backends.NodeMigrator](s).CheckNode(s.limit(), spec.Ref(), there), "CheckNode")

	mark := s.events.mark()
	for range 2 {
		s.must(as[backends.NodeMigrator](s).MigrateToNode(s.limit(), spec.Ref(), there, nil), "MigrateToNode")
	}
	s.after(mark, name+" is on another node", func(e backends.Event) bool {
		return e.Kind == backends.StateChanged && e.Status.Name == name && e.Status.Node == there
	})
	s.onNode(spec, there, backends.Stopped)
	s.reopen()
	s.onNode(spec, there, backends.Stopped)

	s.must(s.b.Start(s.limit(), spec), "Start")
	s.onNode(spec, there, backends.Running)
	s.must(as[backends.NodeMigrator](s).MigrateToNode(s.limit(), spec.Ref(), here, nil), "MigrateToNode while it runs")
	s.onNode(spec, here, backends.Running)
	s.stoppedMove(spec, here, there)
	if s.can.Suspend {
		s.must(s.suspender().Suspend(s.limit(), spec.Ref()), "Suspend")
		s.refused(as[backends.NodeMigrator](s).CheckNode(s.limit(), spec.Ref(), there), problem.VMNotRunning, "CheckNode of a suspended VM")
		s.must(s.suspender().Resume(s.limit(), spec.Ref()), "Resume")
	}
	s.must(s.b.Kill(s.limit(), spec.Ref()), "Kill")
	s.onNode(spec, s.node(spec.Ref()), backends.Stopped)
}

// stoppedMove: a move whose context has ended leaves the VM on one of the two, and says on
// which.
func (s *suite) stoppedMove(spec backends.Spec, here, there string) {
	ctx, cancel := context.WithCancel(s.limit())
	cancel()
	err := as[backends.NodeMigrator](s).MigrateToNode(ctx, spec.Ref(), there, nil)
	if errors.Is(err, backends.ErrUnsettled) {
		s.Errorf("a move that was stopped: %v", err)
	}
	want := there
	if err != nil {
		want = here
	}
	s.onNode(spec, want, backends.Running)
}

// node is where a VM is.
func (s *suite) node(vm backends.Ref) string {
	s.Helper()
	st, err := s.b.Status(s.limit(), vm)
	s.must(err, "Status")
	if st.Node == "" {
		s.Errorf("%s is on no node", vm.Name)
	}
	return st.Node
}

// onNode checks where a VM is, and that it is the same.
func (s *suite) onNode(spec backends.Spec, node string, state backends.State) {
	s.Helper()
	st, err := s.b.Status(s.limit(), spec.Ref())
	s.must(err, "Status")
	if st.Node != node || st.State != state || st.UUID != spec.UUID {
		s.Errorf("it is %s on node %q with UUID %s, want %s on %q", st.State, st.Node, st.UUID, state, node)
	}
	if s.snapshots() {
		s.snapshotNames(spec.Name, "one")
	}
}
