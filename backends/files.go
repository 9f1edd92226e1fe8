package backends

// FileHost is a Backend that keeps files of its VMs on this host.
type FileHost interface {
	// Directory is where those of a VM are, whether it exists or not; of the empty
	// name, the directory that has the directories of all VMs.
	Directory(name string) string
}
