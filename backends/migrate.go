package backends

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nixvm/nixvm/internal/progress"
)

// Migrator is a Backend whose VMs can move to another one of its type, with their
// disks where they are: on storage that both hosts share. The other side must be a
// Migrator, too.
type Migrator interface {
	// PlanMigration refuses what cannot work, also a VM that is neither running
	// nor off (vm.not_running), and changes nothing that lasts. It returns what
	// Migrate must know of the VM as it is now, in a form that the caller keeps
	// until Migrate has returned, also across a crash.
	PlanMigration(ctx context.Context, spec Spec, to Backend) (json.RawMessage, error)

	// Migrate moves the VM: running if it runs. After nil it is on to; after an
	// error it is here as it was. It may be called again with the same plan after
	// a crash at any point, and then finishes what it finds. When it cannot be
	// told which of the two hosts has the VM, the error is ErrUnsettled, and the
	// same call settles it later.
	Migrate(ctx context.Context, spec Spec, to Backend, plan json.RawMessage, report progress.Reporter) error

	// LeaveMigrated removes here what is left of a VM that Migrate has moved; its
	// disks stay. It waits for a host that does not answer, until ctx is done:
	// ErrUnsettled. It may be called twice.
	LeaveMigrated(ctx context.Context, spec Spec, to Backend, plan json.RawMessage, report progress.Reporter) error
}

// ErrUnsettled is within the error of a migration that has neither been
// finished nor taken back, because one of the hosts could not be asked.
var ErrUnsettled = errors.New("the outcome of the migration is not known yet")
