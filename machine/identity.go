package machine

import (
	"crypto/rand"
	"encoding/hex"
	"net"
	"regexp"
	"strings"

	"github.com/google/uuid"
)

var machineIDRE = regexp.MustCompile(`^[0-9a-f]{32}$`)

func parseHostname(m *Machine, t text) error {
	l, ok, err := t.value()
	if err != nil || !ok {
		return err
	}
	if !hostnameRE.MatchString(l.text) || len(l.text) > 64 {
		return t.fault(l.number, "use letters, digits, hyphens and dots, at most 64, e.g. "+m.Name, "%s is not a host name", quote(l.text))
	}
	m.Hostname = l.text
	return nil
}

// onceHint: nixvmd restores such a file from the VM when it starts; see Store.Restore.
const onceHint = "restart nixvmd: it restores the file from the VM; if there is no VM, remove the file and a new one is generated"

func parseMachineID(m *Machine, t text) error {
	l, ok, err := t.value()
	if err != nil || !ok {
		return err
	}
	id := strings.ToLower(l.text)
	if !machineIDRE.MatchString(id) || strings.Trim(id, "0") == "" {
		return t.fault(l.number, onceHint, "%s is not a machine-id of 32 hexadecimal digits", quote(l.text))
	}
	m.MachineID = id
	return nil
}

func parseUUID(m *Machine, t text) error {
	l, ok, err := t.value()
	if err != nil || !ok {
		return err
	}
	id, err := uuid.Parse(l.text)
	if err != nil || len(l.text) != len(id.String()) || id == uuid.Nil {
		return t.fault(l.number, onceHint, "%s is not a UUID", quote(l.text))
	}
	m.UUID = id.String()
	return nil
}

func parseMAC(m *Machine, t text) error {
	l, ok, err := t.value()
	if err != nil || !ok {
		return err
	}
	mac, err := net.ParseMAC(l.text)
	const multicast = 0x01 // the lowest bit of the first byte
	if err != nil || len(mac) != 6 || mac[0]&multicast != 0 || mac.String() == "00:00:00:00:00:00" {
		return t.fault(l.number, onceHint, "%s is not the MAC address of a network card", quote(l.text))
	}
	m.MAC = mac.String()
	return nil
}

// identity generates what of a machine's identity is not there. A MAC address
// for which taken returns true is drawn again: 2^24 addresses are few enough
// for two of a thousand machines to meet, and on one bridge they would fight.
func identity(name string, have content, taken func(mac string) bool) (content, error) {
	made := content{}
	missing := func(file string) bool {
		lines, err := text{file, have[file]}.lines()
		return err == nil && len(lines) == 0
	}
	if missing(HostnameFile) {
		made[HostnameFile] = []byte(name + "\n")
	}
	if missing(MachineIDFile) {
		made[MachineIDFile] = []byte(newMachineID() + "\n")
	}
	if missing(UUIDFile) {
		id, err := uuid.NewRandom()
		if err != nil {
			return nil, err
		}
		made[UUIDFile] = []byte(id.String() + "\n")
	}
	if missing(MACFile) {
		mac := newMAC()
		for taken(mac) {
			mac = newMAC()
		}
		made[MACFile] = []byte(mac + "\n")
	}
	return made, hostKey(name, have, made, missing(HostKeyFile))
}

// newMachineID makes a machine-id(5) as systemd does: a random UUID (version 4)
// without its hyphens.
func newMachineID() string {
	b := randomBytes(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return hex.EncodeToString(b)
}

// newMAC draws from 52:54:00, the locally administered prefix that QEMU,
// libvirt and nixos-vm-template use for virtual machines.
func newMAC() string {
	return net.HardwareAddr(append([]byte{0x52, 0x54, 0x00}, randomBytes(3)...)).String()
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return b
}
