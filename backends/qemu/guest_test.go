package qemu_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/qemu"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/nixbuild/trial/trialtest"
)

// waitLimit ends a hang; boots under emulation on a busy machine take up to a minute.
const waitLimit = 180 * time.Second

// guest is the trial guest with one identity, and the key that opens it.
type guest struct {
	layout paths.Layout
	image  nixbuild.Image
	key    ssh.Signer
	medium []byte
	log    slog.Handler
}

func newGuest(t testing.TB) *guest {
	t.Helper()
	g := &guest{log: slog.DiscardHandler}
	if os.Getenv("NIXVM_TEST_GUEST") == "systemd" {
		g.image = trialtest.Image(t, nixbuild.Immutable) // the image that users get; slower
	} else {
		g.image = trialtest.Tiny(t)
	}
	dir, err := os.MkdirTemp("", "nixvm-") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g.layout = paths.Under(dir)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if g.key, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	g.medium = identityMedium(t, g.key.PublicKey())
	return g
}

// identityMedium is what the machine package makes in the product: the files of
// the guest contract on an ISO 9660 volume with Rock Ridge names.
func identityMedium(t testing.TB, client ssh.PublicKey) []byte {
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
	return isoVolume(t, map[string]string{
		"hostname": "conformance\n", "machine-id": hex.EncodeToString(id) + "\n", "generation": "1\n",
		"ssh_host_ed25519_key":  string(pem.EncodeToMemory(hostKey)),
		"admin_authorized_keys": keys, "user_authorized_keys": keys,
		"tcp_ports": "22\n",
	})
}

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

// spec is a VM of the guest. The identity follows from the name.
func (g *guest) spec(name string) backends.Spec {
	h := fnv.New32a()
	h.Write([]byte(name))
	id := h.Sum(nil)
	return backends.Spec{
		Name: name, UUID: "2c7e8d1a-8d5d-4d07-9a0c-0000" + hex.EncodeToString(id),
		MAC:       "52:54:00:" + hex.EncodeToString(id[:1]) + ":" + hex.EncodeToString(id[1:2]) + ":" + hex.EncodeToString(id[2:3]),
		MemoryMiB: 512, VCPUs: 2, DiskBytes: 512 << 20, Identity: g.medium,
		Image: backends.Image{
			ID: g.image.ID, Disk: filepath.Join(g.image.Dir, g.image.Disk.File), Format: g.image.Disk.Format,
			Kernel: filepath.Join(g.image.Dir, g.image.Kernel), Initrd: filepath.Join(g.image.Dir, g.image.Initrd), Cmdline: g.image.Cmdline,
		},
	}
}

func (g *guest) open(t testing.TB) backends.Backend {
	t.Helper()
	b, err := qemu.New(qemu.Config{Name: "conformance", Layout: g.layout, Accel: accel(), Log: slog.New(g.log)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// accel is emulation unless the environment says otherwise: test machines pretend to have KVM.
func accel() string {
	if a := os.Getenv("NIXVM_ACCEL"); a != "" {
		return a
	}
	return "tcg"
}

// exec runs a shell command as root. An error comes with the end of the serial
// consoles: the guest is gone when somebody reads it.
func (g *guest) exec(ctx context.Context, e backends.Endpoint, command string) (string, error) {
	out, err := guestSSH(ctx, e, g.key, "sudo -n sh -c '"+command+"'")
	if err == nil {
		return out, nil
	}
	logs, _ := filepath.Glob(filepath.Join(g.layout.VMs(), "*", "serial.log"))
	for _, l := range logs {
		if text, rerr := os.ReadFile(l); rerr == nil {
			err = fmt.Errorf("%w\n%s:\n%s", err, l, text[max(0, len(text)-3000):])
		}
	}
	return out, err
}
