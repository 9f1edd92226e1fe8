package rpc

import (
	"context"
	"slices"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/vm"
)

func snapshotMethods() []Method {
	return []Method{
		slow(api.MethodSnapshotList, "The snapshots of a VM.",
			func(ctx context.Context, s *session, p api.MachineParams) (any, error) {
				list, err := s.srv.core.Snapshots(ctx, p.Name)
				if err != nil {
					return nil, err
				}
				list = slices.Clone(list)
				for i, one := range list { // virsh takes any text
					list[i].Name, list[i].Description, list[i].Created = plainLine(one.Name), plainText(one.Description), wireTime(one.Created)
				}
				return api.SnapshotListResult{Snapshots: notNil(list), Warning: vm.SnapshotWarning(p.Name, len(list))}, nil
			}, result[api.SnapshotListResult](problem.VMNotFound, problem.BackendUnreachable)),
		operation(api.MethodSnapshotCreate, "Take a snapshot of the state disk, while the VM is running if the backend supports that.",
			func(ctx context.Context, s *session, p api.SnapshotCreateParams) (api.Operation, error) {
				return s.srv.core.CreateSnapshot(ctx, p.Name, p.Snapshot, p.Description, s.who())
			}, problem.SnapshotExists, problem.SnapshotNameInvalid, problem.SnapshotFailed, problem.VMNotFound, problem.VMBusy, problem.Unsupported, problem.DiskFull),
		operation(api.MethodSnapshotRestore, "Restore the state disk to a snapshot. A safety snapshot is taken first; other snapshots are kept. A running VM is stopped and started again.",
			func(ctx context.Context, s *session, p api.SnapshotRestoreParams) (api.Operation, error) {
				return s.srv.core.RestoreSnapshot(ctx, p.Name, p.Snapshot, p.Confirm, s.who())
			}, problem.SnapshotNotFound, problem.ConfirmRequired, problem.SnapshotFailed, problem.VMNotFound, problem.VMBusy),
		operation(api.MethodSnapshotDelete, "Delete one snapshot.",
			func(ctx context.Context, s *session, p api.SnapshotDeleteParams) (api.Operation, error) {
				return s.srv.core.DeleteSnapshot(ctx, p.Name, p.Snapshot, s.who())
			}, problem.SnapshotNotFound, problem.VMNotFound, problem.VMBusy),
	}
}
