package libvirt

import (
	"encoding/xml"
	"fmt"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/nixvm/nixvm/backends/internal/owner"
	"github.com/nixvm/nixvm/internal/names"
)

// namespace names our element in a domain's metadata.
const namespace = "https://github.com/nixvm/nixvm/libvirt/1"

// mark is the element in the metadata of a domain that makes it ours, and all
// that nixvm keeps about it. In virsh dumpxml it reads
//
//	<machine xmlns="https://github.com/nixvm/nixvm/libvirt/1" name="demo" owner="1f6c0a52" user="ann@laptop" .../>
type mark struct {
	XMLName xml.Name  // libvirt takes the name space away when it returns the element alone
	Name    string    `xml:"name,attr"`           // of the machine
	UUID    string    `xml:"uuid,attr"`           // of the domain: a copy made by virt-clone is not ours
	Owner   string    `xml:"owner,attr"`          // id of the nixvm installation
	User    string    `xml:"user,attr,omitempty"` // whose, for people
	Mutable bool      `xml:"mutable,attr,omitempty"`
	Image   string    `xml:"image,attr,omitempty"` // id of the image that it was last defined with
	Port    int       `xml:"port,attr,omitempty"`  // on 127.0.0.1, forwarded to the guest's 22; kept
	MAC     string    `xml:"mac,attr,omitempty"`
	Accel   string    `xml:"accel,attr,omitempty"` // "kvm" or "tcg", as it was last defined
	Run     *runMark  `xml:"run,omitempty"`        // in the live definition only: it ends with the run
	Note    *noteMark `xml:"note,omitempty"`       // in the copy that a snapshot keeps
}

// runMark is about one run of a domain, started by any program: nixvm, virsh, or
// libvirtd when its host booted.
type runMark struct {
	Started time.Time `xml:"started,attr"`
	Frozen  bool      `xml:"frozen,attr,omitempty"` // set while the guest may be frozen, so that the next daemon can thaw it
}

// noteMark is what libvirt does not keep about a snapshot.
type noteMark struct {
	Snapshot string    `xml:"snapshot,attr"` // a snapshot made by virsh from a definition with a note is another one
	Created  time.Time `xml:"created,attr"`
	Frozen   bool      `xml:"frozen,attr"`
}

func (m mark) String() string {
	m.XMLName = xml.Name{Space: namespace, Local: "machine"}
	text, err := xml.Marshal(m)
	if err != nil {
		panic(err) // strings, numbers and times only
	}
	return string(text)
}

// belongs reports whether a mark makes the domain one of the owner's.
func (m mark) belongs(o owner.Owner, dom golibvirt.Domain) bool {
	return m.Owner == o.ID && m.UUID == uuid.UUID(dom.UUID).String() && names.IsMachine(m.Name)
}

func parseMark(text string) (mark, error) {
	var m mark
	if err := xml.Unmarshal([]byte(text), &m); err != nil {
		return m, fmt.Errorf("metadata: %w", err)
	}
	return m, nil
}
