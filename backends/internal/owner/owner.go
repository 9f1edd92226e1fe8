// Package owner distinguishes one installation of nixvm from others that use the same
// hypervisor: a backend marks its VMs, volumes and files with it.
package owner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/user"
	"strings"
)

// Owner is one installation: one state directory of one user on one host.
type Owner struct {
	ID   string // eight hexadecimal digits
	User string // user@host, for people; untrusted text where it is read back
}

// Of derives the owner from what does not change: a state directory that was emptied
// still owns its VMs. state is its absolute path.
func Of(state string) Owner {
	host, _ := os.Hostname()
	machine, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		machine = []byte(host)
	}
	name := fmt.Sprint(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return Owner{ID: id(strings.TrimSpace(string(machine)), os.Getuid(), state), User: name + "@" + host}
}

// id never changes for the same three: VMs that exist carry it.
func id(machine string, uid int, state string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", machine, uid, state))
	return hex.EncodeToString(sum[:4])
}
