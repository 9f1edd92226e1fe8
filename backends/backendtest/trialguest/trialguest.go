// Package trialguest gives the tests of a backend a real guest: the trial image,
// an identity, the Spec of a VM with both, and a shell inside.
package trialguest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/trial/trialtest"
)

// Guest is a trial image, the identities of its VMs, and the key that opens them.
type Guest struct {
	Image nixbuild.Image
	Key   ssh.Signer

	tb      testing.TB
	mediums map[string][]byte // by the name of the VM

	identities map[string]map[string]string // the files of the mediums
}

// New returns a guest of the tiny image; with NIXVM_TEST_GUEST=systemd, of the
// image that users get, which is slower.
func New(t testing.TB) *Guest {
	t.Helper()
	g := &Guest{tb: t, mediums: map[string][]byte{}, identities: map[string]map[string]string{}}
	if os.Getenv("NIXVM_TEST_GUEST") == "systemd" {
		g.Image = trialtest.Image(t, nixbuild.Immutable)
	} else {
		g.Image = trialtest.Tiny(t)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if g.Key, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	return g
}

// medium is the identity of a VM, always the same for one name.
func (g *Guest) medium(name string) []byte {
	if g.mediums[name] == nil {
		g.identities[name] = identity(g.tb, name, g.Key.PublicKey())
		g.mediums[name] = medium(g.tb, g.identities[name], generation(name))
	}
	return g.mediums[name]
}

// identity is what the machine package makes in the product: the files of the guest
// contract, which go on an ISO 9660 volume with Rock Ridge names. Each name has
// another generation, as a clone has another one than its source.
func identity(t testing.TB, name string, client ssh.PublicKey) map[string]string {
	t.Helper()
	_, host, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hostKey, err := ssh.MarshalPrivateKey(host, "")
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	keys := string(ssh.MarshalAuthorizedKey(client))
	return map[string]string{
		"hostname": name + "\n", "machine-id": hex.EncodeToString(id) + "\n",
		"ssh_host_ed25519_key":  string(pem.EncodeToMemory(hostKey)),
		"admin_authorized_keys": keys, "user_authorized_keys": keys,
		"tcp_ports": "22\n", "hosts": "",
	}
}

// medium is a volume with the files of an identity.
func medium(t testing.TB, files map[string]string, generation uint64) []byte {
	t.Helper()
	files, sums := maps.Clone(files), ""
	for name, text := range files {
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(text)), name)
	}
	files["sha256sums"], files["generation"] = sums, fmt.Sprintln(generation)
	return isoVolume(t, files)
}

// Renewed is another identity of a VM: the next generation, with one more host.
func (g *Guest) Renewed(name string) backends.Identity {
	g.medium(name)
	files := maps.Clone(g.identities[name])
	files["hosts"] = "192.0.2.77 " + backendtest.RenewedHost + "\n"
	return backends.Identity{Medium: medium(g.tb, files, generation(name)+1), Generation: generation(name) + 1}
}

func generation(name string) uint64 { return 1 + uint64(hash(name)) }

func isoVolume(t testing.TB, files map[string]string) []byte {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatalf("identity medium: %v", err)
		}
	}
	dir := t.TempDir()
	storage, err := file.CreateFromPath(filepath.Join(dir, "iso"), 4<<20)
	check(err)
	check(os.Mkdir(filepath.Join(dir, "work"), 0o700))
	volume, err := iso9660.Create(storage, 0, 0, 2048, filepath.Join(dir, "work"))
	check(err)
	for name, text := range files {
		f, err := volume.OpenFile(name, os.O_CREATE|os.O_RDWR)
		check(err)
		_, err = io.WriteString(f, text)
		check(err)
		check(f.Close())
	}
	// ECMA-119 wants the label padded with spaces, which go-diskfs leaves to us.
	check(volume.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: fmt.Sprintf("%-32s", "NIXVMID")}))
	check(storage.Close())
	data, err := os.ReadFile(filepath.Join(dir, "iso"))
	check(err)
	return data
}

// Spec is a VM of the guest. UUID and MAC follow from the name.
func (g *Guest) Spec(name string) backends.Spec {
	id := binary.BigEndian.AppendUint32(nil, hash(name))
	return backends.Spec{
		Name: name, UUID: "2c7e8d1a-8d5d-4d07-9a0c-0000" + hex.EncodeToString(id),
		MAC:       "52:54:00:" + hex.EncodeToString(id[:1]) + ":" + hex.EncodeToString(id[1:2]) + ":" + hex.EncodeToString(id[2:3]),
		MemoryMiB: 512, VCPUs: 2, DiskBytes: 512 << 20, Identity: g.medium(name),
		Image: backends.Image{
			ID: g.Image.ID, Disk: filepath.Join(g.Image.Dir, g.Image.Disk.File), Format: g.Image.Disk.Format,
			Kernel: filepath.Join(g.Image.Dir, g.Image.Kernel), Initrd: filepath.Join(g.Image.Dir, g.Image.Initrd), Cmdline: g.Image.Cmdline,
		},
	}
}

func hash(name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return h.Sum32()
}
