package vm

import (
	"context"
	"fmt"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
)

// Operations lists running, unresolved and recent operations, oldest first.
func (s *Service) Operations() []api.Operation { return s.engine.List() }

// Operation returns one operation.
func (s *Service) Operation(id string) (api.Operation, error) { return s.engine.Get(id) }

// Begun returns an operation as soon as it is journalled and watchers hear of it, or the
// problem with which its request was refused before that.
func (s *Service) Begun(ctx context.Context, id string) (api.Operation, error) {
	return s.engine.Begun(ctx, id)
}

// Cancel asks an operation to stop; what it has begun is undone where its plan
// says so. It returns at once; an operation that has ended is not an error.
func (s *Service) Cancel(id string) error { return s.engine.Cancel(id) }

// Wait returns the operation when it has ended, or the problem with which its request
// was refused. Giving up waiting does not cancel it.
func (s *Service) Wait(ctx context.Context, id string) (api.Operation, error) {
	return s.engine.Wait(ctx, id)
}

// Resolve makes one of the choices of an unresolved operation. What loses data
// must be confirmed by the machine's name. It returns the operation that does it;
// for forget, the one that is forgotten.
func (s *Service) Resolve(ctx context.Context, id string, action api.Action, confirm, client string) (api.Operation, error) {
	return s.engine.Resolve(ctx, id, action, confirm, client)
}

// doctorOperations names what waits for a choice, and journals that cannot be read.
func (s *Service) doctorOperations() []api.Finding {
	var list []api.Finding
	for _, op := range s.engine.List() {
		if op.State != api.OpUnresolved {
			continue
		}
		list = append(list, api.Finding{
			Area: "operation " + op.ID, Code: "operation.unresolved", Severity: backends.Warning,
			Message: fmt.Sprintf("%s of %s could not be undone completely: %s", op.Kind, op.Subject(), op.Problem.Message),
			Fix:     "nixvmd operations lists the choices; nixvmd operations forget " + op.ID + " leaves everything as it is",
		})
	}
	for _, err := range s.engine.Unreadable() {
		list = append(list, api.Finding{
			Area: "operations", Code: "journal.unreadable", Severity: backends.Warning, Message: err.Error(),
			Fix: "check the machine that it names, then move the file away",
		})
	}
	return list
}
