package inventory

import (
	"slices"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
)

// Entry is what is known of one machine at one time. It does not change, and what its
// pointers lead to must not be changed.
type Entry struct {
	Name string

	Machine        *machine.Machine  // its directory; nil: there is none, or it does not parse
	Identity       map[string]string // machine.FileDigests of Machine; nil without a Machine or a Record
	LastMachine    *machine.Machine  // as it was before it did not parse; nil: this daemon has never read it
	MachineProblem *problem.Error    // why the directory does not parse

	Record        *Record        // of its VM; nil: there is no VM, or the record cannot be read
	RecordProblem *problem.Error // why the record cannot be read

	Status  backends.Status // as the backend reported it last
	Backend string          // that reported it; empty while it is absent
	Address string          // of sshd, host:port; empty unless the guest runs
	Boot    *Boot           // the current run of the guest; nil unless it runs

	SSHProblem *problem.Error // why its SSH names could not be written
}

// Broken is why the files of a machine cannot be read; nil when they can.
func (e *Entry) Broken() *problem.Error {
	if e.RecordProblem != nil {
		return e.RecordProblem
	}
	return e.MachineProblem
}

// Ready reports whether sshd can be reached now, as far as is known without asking.
func (e *Entry) Ready() bool {
	return e.Status.State == backends.Running && !e.Status.Cut && e.Boot != nil && e.Boot.Ready()
}

// Exists reports whether there is a VM, however little is known of it.
func (e *Entry) Exists() bool { return e.Record != nil || e.Status.State != backends.Absent }

// Host is the name of the backend that has, or had, the VM; empty when there is none.
func (e *Entry) Host() string {
	if e.Record != nil {
		return e.Record.Backend
	}
	return e.Backend
}

// Ref is the VM as calls of its backend name it: by the UUID in its record; where that
// is not known, as the backend reported it last.
func (e *Entry) Ref() backends.Ref {
	ref := backends.Ref{Name: e.Name, UUID: e.Status.UUID}
	if e.Record != nil && e.Record.UUID != "" {
		ref.UUID = e.Record.UUID
	}
	return ref
}

// Guest is what a connection to the VM needs: from the machine directory, or from the
// record while that does not parse, is gone, or has lost the host key. False when neither
// says.
func (e *Entry) Guest() (Guest, bool) {
	switch {
	case e.Machine != nil && e.Machine.HostKeyPublic != "":
		return guestOf(*e.Machine), true
	case e.MachineProblem != nil && e.LastMachine != nil && e.LastMachine.HostKeyPublic != "":
		return guestOf(*e.LastMachine), true
	case e.Record != nil && e.Record.Guest != nil:
		return *e.Record.Guest, true
	case e.Machine != nil:
		return guestOf(*e.Machine), true
	}
	return Guest{}, false
}

// NextStart names the identity files, ordered, that the machine has and its running
// guest has not put into force; nil where that is not known. The guest of a mutable
// machine owns its identity: it puts nothing into force, see Owned.
func (e *Entry) NextStart() []string {
	if e.Machine == nil || e.Machine.Mode == machine.Mutable || !Alive(e.Status.State) {
		return nil
	}
	return e.differing()
}

// Owned names the identity files, ordered, that the guest of a mutable machine has taken
// once, and that the machine has otherwise since: only a VM that is made anew gets them.
func (e *Entry) Owned() []string {
	if e.Machine == nil || e.Machine.Mode != machine.Mutable {
		return nil
	}
	return e.differing()
}

// differing are the files that the VM does not have as the machine has them.
func (e *Entry) differing() []string {
	if e.Record == nil || e.Record.Identity == nil {
		return nil
	}
	var files []string
	for file, digest := range e.Identity {
		if e.Record.Identity[file] != digest || slices.Contains(e.Record.AtBoot, file) {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return files
}

// Resources are what the VM was started with, and false where it takes the machine's as
// soon as it starts, because it does not run, or that is not known.
func (e *Entry) Resources() (Resources, bool) {
	if e.Machine == nil || e.Record == nil || e.Record.Started == nil || !Alive(e.Status.State) {
		return Resources{}, false
	}
	return *e.Record.Started, true
}

// identify completes the entry after its machine or its record was read.
func (e *Entry) identify() {
	if e.Identity = nil; e.Machine != nil && e.Record != nil {
		e.Identity = machine.FileDigests(*e.Machine)
	}
}

// unreadAs reports whether the machine directory cannot be read, for the same reason as
// before: requests read it again, and clients need not be told each time.
func (e *Entry) unreadAs(before *Entry) bool {
	text := func(p *problem.Error) string {
		if p == nil {
			return ""
		}
		return p.Message
	}
	return e.Machine == nil && before.Machine == nil && (e.Record == nil) == (before.Record == nil) && !e.empty() &&
		text(e.MachineProblem) == text(before.MachineProblem) && text(e.RecordProblem) == text(before.RecordProblem)
}

// empty reports whether nothing is left of a machine.
func (e *Entry) empty() bool {
	return e.Machine == nil && e.Broken() == nil && e.Record == nil && e.Status.State == backends.Absent
}

// Alive reports whether a guest may be there: also while its backend cannot be asked,
// because its daemon is restarted, for example. Connections to it stay.
func Alive(s backends.State) bool {
	return s == backends.Running || s == backends.Suspended || s == backends.Unknown
}
