package backends

import "context"

// CreateChecker is a Backend that can say quickly what keeps every VM from being made.
type CreateChecker interface {
	// CheckCreate returns the findings of Check without which no VM can be made. A
	// create or a clone is refused with the first one that is [Fatal]; the others do not
	// matter. It is called before each of them: nothing is measured or started, and
	// what is only advice is left to Check.
	CheckCreate(ctx context.Context) []Finding
}
