package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func upgradeMethods() []Method {
	return []Method{
		operation(api.MethodVMUpgrade, "Upgrade the VM to the current image for its profiles, mode and kind of image, which is built first if necessary. "+
			"A running VM is shut down, booted and checked: if the guest does not work with the new image, the VM returns to the previous one. "+
			"The state disk with its snapshots is not changed. A VM that already has the image is not restarted.",
			func(ctx context.Context, s *session, p api.UpgradeParams) (api.Operation, error) {
				p.Client = s.who()
				return s.srv.core.Upgrade(ctx, p)
			}, problem.UpgradeFailed, problem.ModeUnsupported, problem.ConfirmRequired, problem.ProfileUnknown, problem.ProfileConflict, problem.ImageNotFound,
			problem.ImageUnsupported, problem.ImageBuildFailed, problem.BackendMissing, problem.Unsupported, problem.DiskFull, problem.VMStopTimeout,
			problem.VMNotRunning, problem.VMNotFound, problem.VMBusy, problem.BackendUnreachable),
		operation(api.MethodVMRollback, "Return the VM to the image of one of its generations, in the same way as an upgrade.",
			func(ctx context.Context, s *session, p api.RollbackParams) (api.Operation, error) {
				p.Client = s.who()
				return s.srv.core.Rollback(ctx, p)
			}, problem.UpgradeFailed, problem.GenerationNotFound, problem.ModeUnsupported, problem.ConfirmRequired, problem.ImageNotFound, problem.Unsupported,
			problem.VMStopTimeout, problem.VMNotRunning, problem.VMNotFound, problem.VMBusy, problem.BackendUnreachable),
		slow(api.MethodUpgradePreview, "What nixvm/vm/upgrade would do now. Nothing is built or changed, and what it would refuse is refused.",
			func(ctx context.Context, s *session, p api.UpgradePreviewParams) (any, error) {
				return s.srv.core.PreviewUpgrade(ctx, p)
			}, result[api.UpgradePreview](problem.ModeUnsupported, problem.ProfileUnknown, problem.ProfileConflict, problem.ImageNotFound, problem.ImageUnsupported,
				problem.BackendMissing, problem.Unsupported, problem.VMNotRunning, problem.VMNotFound, problem.BackendUnreachable)),
		slow(api.MethodGenerationList, "The generations of a VM: the images that it boots from or can return to.",
			func(_ context.Context, s *session, p api.MachineParams) (any, error) {
				list, err := s.srv.core.Generations(p.Name)
				for i := range list {
					list[i].Since = wireTime(list[i].Since)
				}
				return api.GenerationListResult{Generations: notNil(list)}, err
			}, result[api.GenerationListResult](problem.VMNotFound, problem.MachineNotFound)),
	}
}
