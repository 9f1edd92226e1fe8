package machine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine/internal/isofs"
)

// MediumLabel is the volume label by which the guest finds its identity medium.
const MediumLabel = "NIXVMID"

// GenerationFile is the file of the medium that says whether the guest has this
// content already: a decimal number that grows with every change.
const GenerationFile = "generation"

// SumsFile is the file of the medium that holds the SHA-256 digests of all its
// other files but the generation, as sha256sum(1) prints them: a guest whose medium
// is replaced while it reads does not take half of each.
const SumsFile = "sha256sums"

// MediumSize is the length of every medium, in bytes. A running guest is given
// another content of the same disk, whose length it knows already.
const MediumSize = 1 << 20

// maxIdentityFile is the largest file that a guest takes from its medium, in bytes.
const maxIdentityFile = 64 << 10

// Medium builds the identity medium: a read-only ISO 9660 volume with Rock
// Ridge names, holding the identity files of the guest contract, their digests and
// generation, filled up with zeros to MediumSize.
// All files but ca-cert.pem are always there, owned by root; one that is empty
// means "not set" (static_ip: DHCP; root_password_hash: no password), so that a
// guest that copies them all also forgets what was removed. Secrets are 0600, the others
// 0644. Comments, blank lines and CRLF do not reach the guest.
//
// The same machine and generation give the same bytes. The medium holds the
// host key: keep it in a 0600 file. The problem is machine.invalid for a
// machine without identity; see Store.EnsureIdentity.
func Medium(m Machine, generation uint64) ([]byte, error) {
	files, err := identityFiles(m)
	if err != nil {
		return nil, err
	}
	files = append(files,
		isofs.File{Name: SumsFile, Data: sums(files), Mode: 0o600}, // they would confirm a guess of a secret
		isofs.File{Name: GenerationFile, Data: []byte(strconv.FormatUint(generation, 10) + "\n"), Mode: 0o644})
	image, err := isofs.Build(MediumLabel, files)
	if err == nil && len(image) > MediumSize {
		err = problem.New(problem.MachineInvalid, "%d bytes of identity do not fit on a medium of %d", len(image), MediumSize)
	}
	if err != nil {
		return nil, fmt.Errorf("build the identity medium of %s: %w", m.Name, err)
	}
	return append(image, make([]byte, MediumSize-len(image))...), nil
}

// sums lists the digests of the files, ordered by name.
func sums(files []isofs.File) []byte {
	var b strings.Builder
	for _, f := range slices.SortedFunc(slices.Values(files), func(a, b isofs.File) int { return strings.Compare(a.Name, b.Name) }) {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(f.Data), f.Name)
	}
	return []byte(b.String())
}

// FileDigests gives a digest, in hex, of what a machine has for each file of the
// medium but the generation, by its name: what differs between two of them has
// changed. It reveals nothing of the secrets, reads no file, and leaves out the keys
// that are on the medium besides the machine's own.
func FileDigests(m Machine) map[string]string {
	digests := map[string]string{}
	for file, data := range map[string][]byte{
		AdminKeysFile: plain(m.AdminKeys), UserKeysFile: plain(m.UserKeys), AllowedCIDRsFile: plain(m.AllowedCIDRs),
		TCPPortsFile: plain(m.TCPPorts), UDPPortsFile: plain(m.UDPPorts), HostnameFile: []byte(m.Hostname), MachineIDFile: []byte(m.MachineID),
		HostsFile: []byte(m.Hosts), ResolvConfFile: []byte(m.ResolvConf), StaticIPFile: []byte(printStaticIP(m)), CACertFile: []byte(m.CACert),
		HostKeyFile: []byte(m.HostKeyPublic), RootPasswordFile: []byte(m.PasswordSum),
	} {
		h := sha256.New()
		h.Write([]byte(m.UUID + "\n")) // equal settings of two machines do not show
		h.Write(data)
		digests[file] = hex.EncodeToString(h.Sum(nil)[:12])
	}
	return digests
}

// Digest is a hash, in hex, of everything on the medium but the generation: as
// long as it stays, a medium made earlier is right. It reveals nothing of the
// secrets.
func Digest(m Machine) (string, error) {
	files, err := identityFiles(m)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, f := range files {
		for _, part := range [][]byte{[]byte(f.Name), f.Data} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			h.Write(part)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// identityFiles gives the content of the medium, generation excepted. What is
// printed comes from the validated fields; only the secrets are read again.
func identityFiles(m Machine) ([]isofs.File, error) {
	if !m.IdentityComplete() {
		return nil, problem.New(problem.MachineInvalid, "machine %s has no complete identity yet", m.Name).
			WithHint("start it once with nixvmd, which generates the missing files in %s", m.Dir)
	}
	key, hash, err := readSecrets(m)
	if err != nil {
		return nil, fmt.Errorf("read the identity of %s: %w", m.Name, asProblem(err, (*Fault).broken))
	}
	files := []isofs.File{
		{Name: AdminKeysFile, Data: plain(m.AdminKeys), Mode: 0o644},
		{Name: AllowedCIDRsFile, Data: plain(m.AllowedCIDRs), Mode: 0o644},
		{Name: HostnameFile, Data: []byte(oneLine(m.Hostname)), Mode: 0o644},
		{Name: HostsFile, Data: []byte(m.Hosts), Mode: 0o644},
		{Name: MachineIDFile, Data: []byte(oneLine(m.MachineID)), Mode: 0o644},
		{Name: ResolvConfFile, Data: []byte(m.ResolvConf), Mode: 0o644},
		{Name: RootPasswordFile, Data: []byte(oneLine(hash)), Mode: 0o600},
		{Name: HostKeyFile, Data: key, Mode: 0o600},
		{Name: StaticIPFile, Data: []byte(printStaticIP(m)), Mode: 0o644},
		{Name: TCPPortsFile, Data: plain(m.TCPPorts), Mode: 0o644},
		{Name: UDPPortsFile, Data: plain(m.UDPPorts), Mode: 0o644},
		{Name: UserKeysFile, Data: plain(m.UserKeys), Mode: 0o644},
	}
	if m.CACert != "" { // it came later: a medium without it stays as it was
		files = append(files, isofs.File{Name: CACertFile, Data: []byte(m.CACert), Mode: 0o644})
	}
	for _, f := range files {
		if len(f.Data) > maxIdentityFile { // it may hold nixvm's own key besides
			return nil, problem.New(problem.MachineInvalid, "%s of %s has %d bytes; a guest accepts at most %d", f.Name, m.Name, len(f.Data), maxIdentityFile).
				WithHint("shorten %s/%s", m.Dir, f.Name)
		}
	}
	return files, nil
}

// readSecrets returns the host key as it stands, and the root password hash,
// empty when there is none. The key must still be the one that clients pin.
func readSecrets(m Machine) (key []byte, hash string, err error) {
	root, err := os.OpenRoot(m.Dir)
	if err != nil {
		return nil, "", err
	}
	defer root.Close()
	if key, err = readFile(root, HostKeyFile); err != nil {
		return nil, "", err
	}
	place := m.Dir + "/" + HostKeyFile
	var now Machine
	if err := parseHostKey(&now, text{place, key}); err != nil {
		return nil, "", err
	}
	if now.HostKeyPublic != m.HostKeyPublic {
		return nil, "", &Fault{File: place, Reason: "the host key has just been changed", Hint: "try again"}
	}
	data, err := readFile(root, RootPasswordFile)
	if os.IsNotExist(err) {
		return key, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	hash, err = text{m.Dir + "/" + RootPasswordFile, data}.passwordHash()
	return key, hash, err
}

// plain prints one item a line.
func plain[T any](items []T) []byte {
	var b strings.Builder
	for _, item := range items {
		fmt.Fprintln(&b, item)
	}
	return []byte(b.String())
}
