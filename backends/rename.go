package backends

import "context"

// Renamer is a Backend that can give a VM another name.
type Renamer interface {
	// Rename gives a VM that is off another name, with its disk, snapshots and settings;
	// one that runs is refused with vm.running, and a name in use with vm.exists,
	// whichever VM has it. Afterwards the former name is Absent. It may be called again
	// after a crash at any point: a VM that has the new name already is left alone.
	Rename(ctx context.Context, vm Ref, to string) error
}
