package backends

// FileHost is a Backend that keeps files of its VMs on this host.
type FileHost interface {
	// Directory is where those of a VM are, whether it exists or not; of the zero
	// Ref, the directory that has the directories of all VMs.
	Directory(vm Ref) string
}
