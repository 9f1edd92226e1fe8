package proxmox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// The tags of VMs and templates. The list of a node has the tags of all of its VMs.
const (
	tagOurs  = "nixvm"
	tagOwner = "nixvm-o-" // and the owner's ID: the installation whose VM it is
	tagShelf = "nixvm-s-" // and the owner's ID: it is set aside
	tagUUID  = "nixvm-u-" // and the UUID
	tagImage = "nixvm-i-" // and the key of the image, of which it is a template
)

// mark is what the tags of a VM say.
type mark struct {
	Owner string // ID of the installation
	Shelf string // the same, in the place of Owner, of a VM that is set aside
	UUID  string // lower case, with hyphens
	Image string // key of an image: it is a template, or a clone of one that has no tags of its own yet
}

// tags puts a mark into the form of a configuration.
func (m mark) tags() string {
	all := []string{tagOurs}
	for prefix, value := range map[string]string{tagOwner: m.Owner, tagShelf: m.Shelf, tagUUID: m.UUID, tagImage: m.Image} {
		if value != "" {
			all = append(all, prefix+value)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ";")
}

// readMark reads tags. Those of others do not matter.
func readMark(tags string) mark {
	var m mark
	for _, tag := range strings.FieldsFunc(tags, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
		tag = strings.ToLower(tag)
		for prefix, value := range map[string]*string{tagOwner: &m.Owner, tagShelf: &m.Shelf, tagUUID: &m.UUID, tagImage: &m.Image} {
			if rest, ok := strings.CutPrefix(tag, prefix); ok {
				*value = rest
			}
		}
	}
	return m
}

// ours reports whether it is a VM of this installation.
func (b *Backend) ours(m mark) bool { return m.Owner == b.owner.ID && m.UUID != "" }

// imageKey is the part of the tags and file names that stands for an image: its ID may have
// characters that they cannot.
func imageKey(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:10])
}

// record is what the description of a VM says beside a sentence for people. It is not
// needed to tell VMs apart, and what cannot be read is empty.
type record struct {
	Owner   string `json:"owner,omitempty"`
	UUID    string `json:"uuid,omitempty"`
	Name    string `json:"name,omitempty"`
	Image   string `json:"image,omitempty"`   // its ID, of the boot disk
	Mutable bool   `json:"mutable,omitempty"` // one disk of its own
	// Booted: a guest may have written to the boot disk; the next start gets a new one.
	Booted  bool      `json:"booted,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Medium  string    `json:"medium,omitempty"` // SHA-256 of the identity medium that is uploaded
	MAC     string    `json:"mac,omitempty"`
	Address string    `json:"address,omitempty"` // static one of the guest; empty = DHCP
	// Spare: no VM, but a new boot disk on its way to the VM of this name.
	Spare bool   `json:"spare,omitempty"`
	Shelf *shelf `json:"shelf,omitempty"` // it is set aside
}

const recordLine = "nixvm-record: "

// describe makes the description of a VM.
func (r record) describe(people string) string {
	line, err := json.Marshal(r)
	if err != nil {
		line = []byte("{}") // strings, booleans and a time: there is no error
	}
	return people + "\n\n" + recordLine + string(line) + "\n"
}

// readRecord reads it back. The description may have been edited by people.
func readRecord(description string) record {
	var r record
	for line := range strings.Lines(description) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), recordLine); ok && json.Unmarshal([]byte(rest), &r) == nil {
			return r
		}
	}
	return record{}
}

// vmDescription is what people read in the web interface.
func (b *Backend) vmDescription(r record) string {
	return r.describe("VM " + r.Name + " of nixvm, " + b.owner.User + ". Managed by nixvm: do not change its tags, nor the last line of this text.")
}
