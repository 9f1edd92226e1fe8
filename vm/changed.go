package vm

import (
	"github.com/nixvm/nixvm/internal/progress"
	"github.com/nixvm/nixvm/sshconfig"
	"github.com/nixvm/nixvm/vm/inventory"
)

// hooks are what follows from a change in the inventory.
func (s *Service) hooks() inventory.Hooks {
	return inventory.Hooks{
		Changed: func(name string) {
			s.publishVM(name)
			s.noticeFull(name)
		},
		Ready: func(name string) {
			if s.config.SSH.Style == string(sshconfig.Direct) {
				s.repairSSH() // the port may be another one
			}
			s.holdForwards(name)
		},
		Restarted: func(name string) {
			s.closeMastersSoon(name)
			s.identityInForce(name)
		},
		Ended: func(name string) {
			s.dropForwards(name)
			s.closeMastersSoon(name)
		},
		AgentUp: func(name string) {
			s.reportGuestUp(name)
			s.checkClock(name)
		},
		Notice: s.notify,

		CapabilitiesChanged: s.publishBackend,

		Busy: func(name string) bool {
			return s.engine.HeldBy(name) != nil
		},
	}
}

// reportGuestUp passes on that the guest agent has come up, as progress of the operation
// that waits for the guest.
func (s *Service) reportGuestUp(name string) {
	s.engine.Report(name, readyStepName, progress.Update{Message: "the guest is up; waiting for its SSH server", Current: 7, Total: 10})
}
