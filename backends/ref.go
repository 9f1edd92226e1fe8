package backends

import "strings"

// Ref is a VM as calls name it. The UUID, that of its [Spec], tells it from every other
// VM that has or had its name, and stays when the name changes; the name says where to
// look, and what people read in messages.
//
// A call finds the VM of that name only if it has that UUID; else there is no such VM,
// and the namesake is left alone. An empty UUID stands for the VM of that name, whichever
// it is: for VMs of which nothing else is known. In the same way a VM whose UUID its
// backend cannot tell, because its record is damaged or it is half made, has its name
// only.
type Ref struct {
	Name string
	UUID string
}

// Named is a VM of which only the name is known.
func Named(name string) Ref { return Ref{Name: name} }

// Is reports whether a VM of this name that has the UUID is the one that is meant.
func (r Ref) Is(uuid string) bool {
	return r.UUID == "" || uuid == "" || strings.EqualFold(r.UUID, uuid)
}

// Ref names the VM of a specification.
func (s Spec) Ref() Ref { return Ref{Name: s.Name, UUID: s.UUID} }
