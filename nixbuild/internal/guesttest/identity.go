package guesttest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/nixbuild"
)

// Identity is what makes a guest itself.
type Identity struct {
	Generation int
	Key        ssh.Signer // authorised for both accounts
	HostKey    ssh.Signer
	// Files is the rest of the medium: name to content. NewIdentity fills in
	// all but what may be absent.
	Files map[string]string
}

// NewIdentity makes an identity of generation 1 with the port 8080 open.
func NewIdentity(t testing.TB, hostname string) Identity {
	t.Helper()
	client, _ := newKey(t)
	host, hostPEM := newKey(t)
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		t.Fatal(err)
	}
	authorised := string(ssh.MarshalAuthorizedKey(client.PublicKey()))
	return Identity{Generation: 1, Key: client, HostKey: host, Files: map[string]string{
		"hostname": hostname + "\n", "machine-id": hex.EncodeToString(id) + "\n", "ssh_host_ed25519_key": hostPEM,
		"admin_authorized_keys": authorised, "user_authorized_keys": authorised,
		"tcp_ports": "8080\n", "udp_ports": "", "allowed_cidrs": "", "static_ip": "", "resolv.conf": "", "hosts": "", "root_password_hash": "",
	}}
}

// With returns the identity with other files and the next generation.
func (i Identity) With(files map[string]string) Identity {
	i.Generation++
	i.Files = maps.Clone(i.Files)
	maps.Copy(i.Files, files)
	return i
}

func newKey(t testing.TB) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, string(pem.EncodeToMemory(block))
}

// mediumSize is the length of every medium, in bytes.
const mediumSize = 1 << 20

// medium returns the identity medium.
func (i Identity) medium() ([]byte, error) {
	dir, err := os.MkdirTemp("", "medium-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	files, sums := maps.Clone(i.Files), ""
	for name, content := range files {
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(content)), name)
	}
	if files["sha256sums"] == "" {
		files["sha256sums"] = sums
	}
	files["generation"] = strconv.Itoa(i.Generation) + "\n"
	content := filepath.Join(dir, "content")
	if err := os.Mkdir(content, 0o700); err != nil {
		return nil, err
	}
	for name, text := range files {
		mode := os.FileMode(0o644)
		if name == "ssh_host_ed25519_key" || name == "root_password_hash" || name == "sha256sums" {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(content, name), []byte(text), mode); err != nil {
			return nil, err
		}
	}
	volume := filepath.Join(dir, "iso")
	if out, err := exec.Command("xorriso", "-as", "mkisofs", "-quiet", "-V", "NIXVMID", "-R", "-o", volume, content).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("xorriso: %w: %s", err, out)
	}
	image, err := os.ReadFile(volume)
	if err == nil && len(image) > mediumSize {
		err = fmt.Errorf("the medium has %d bytes", len(image))
	}
	if err != nil {
		return nil, err
	}
	return append(image, make([]byte, mediumSize-len(image))...), nil
}

// Renew gives the medium of a running guest another content: these files and the
// next generation, which it returns. The guest is not told.
func (g *Guest) Renew(files map[string]string) (generation int, err error) {
	g.Identity.Files = files
	g.Identity.Generation++
	image, err := g.Identity.medium()
	if err != nil {
		return 0, err
	}
	f, err := os.OpenFile(g.file("identity.iso"), os.O_WRONLY, 0) // QEMU has this file open
	if err != nil {
		return 0, err
	}
	_, err = f.Write(image)
	return g.Identity.Generation, errors.Join(err, f.Close())
}

// NewDisk makes an empty qcow2 of that size, in bytes.
func NewDisk(t testing.TB, size int64) string {
	t.Helper()
	file := BlankDisk(t, size)
	// As nixvmd marks it: the guest need not read it through to see that it is new.
	const offset, mark = 32 << 10, "nixvm: being formatted"
	Write(t, file, offset, mark)
	return file
}

// BlankDisk makes a state disk without the mark of a new one.
func BlankDisk(t testing.TB, size int64) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "state.qcow2")
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", file, strconv.FormatInt(size, 10))
	return file
}

// Write puts a text on a qcow2 disk, at an offset that is a multiple of 512.
func Write(t testing.TB, disk string, offset int64, text string) {
	t.Helper()
	sector := filepath.Join(t.TempDir(), "sector")
	if err := os.WriteFile(sector, append([]byte(text), make([]byte, 512-len(text))...), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "qemu-io", "-f", "qcow2", "-c", fmt.Sprintf("write -s %s %d 512", sector, offset), disk)
}

// MutableDisk makes the only disk of a mutable guest, as an overlay: a test has
// no use for a full copy.
func MutableDisk(t testing.TB, img nixbuild.Image, size int64) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk.qcow2")
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", img.Disk.Format, "-b", img.DiskPath(), file, strconv.FormatInt(size, 10))
	return file
}

// Resize gives a disk another size, in bytes, while no guest uses it.
func Resize(t testing.TB, disk string, size int64) {
	t.Helper()
	run(t, "qemu-img", "resize", "-q", disk, strconv.FormatInt(size, 10))
}

// Grow gives the state disk of a running guest 512 MiB more, and returns its size.
func (g *Guest) Grow(ctx context.Context) (size int64, err error) {
	out, err := g.qmp.command(ctx, `{"execute":"query-block"}`)
	if err != nil {
		return 0, err
	}
	var disks []struct {
		Device   string
		Inserted struct {
			RO    bool
			Image struct {
				Size int64 `json:"virtual-size"`
			}
		}
	}
	if err := json.Unmarshal(out, &disks); err != nil {
		return 0, err
	}
	for _, d := range disks {
		if (d.Device == "d0" || d.Device == "d1") && !d.Inserted.RO {
			size = d.Inserted.Image.Size + 512<<20
			_, err = g.qmp.command(ctx, fmt.Sprintf(`{"execute":"block_resize","arguments":{"device":%q,"size":%d}}`, d.Device, size))
			return size, err
		}
	}
	return 0, fmt.Errorf("no writable disk among %s", out)
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w: %s", name, err, out))
	}
}
