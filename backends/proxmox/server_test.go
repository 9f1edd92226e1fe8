package proxmox_test

import (
	"cmp"
	"context"
	"os"
	"testing"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/backendtest"
	"github.com/nixvm/nixvm/backends/backendtest/trialguest"
	"github.com/nixvm/nixvm/backends/proxmox"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/paths"
)

// The conformance suite on a real server, with guests of the trial image, which this host
// has to reach at the addresses that the server's network gives them. docs/proxmox.md lists
// the variables.
func TestConformanceOnAServer(t *testing.T) {
	url := os.Getenv("NIXVM_TEST_PVE_URL")
	if url == "" {
		t.Skip("NIXVM_TEST_PVE_URL names no Proxmox VE server to test with")
	}
	guest, layout := trialguest.New(t), paths.Under(t.TempDir())
	open := func(t testing.TB) backends.Backend {
		t.Helper()
		b, err := proxmox.New(proxmox.Config{
			Name: "server", Layout: layout, Node: os.Getenv("NIXVM_TEST_PVE_NODE"),
			API: pve.Config{
				URL: url, TokenID: os.Getenv("NIXVM_TEST_PVE_TOKEN_ID"), Secret: pve.Secret{File: os.Getenv("NIXVM_TEST_PVE_TOKEN_FILE")}.Kept(),
				Trust: pve.Trust{Fingerprint: os.Getenv("NIXVM_TEST_PVE_FINGERPRINT"), CAFile: os.Getenv("NIXVM_TEST_PVE_CA_FILE")},
			},
			Images: cmp.Or(os.Getenv("NIXVM_TEST_PVE_IMAGES"), "local"), Disks: cmp.Or(os.Getenv("NIXVM_TEST_PVE_DISKS"), "local-lvm"),
			Bridge: cmp.Or(os.Getenv("NIXVM_TEST_PVE_BRIDGE"), "vmbr0"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := open(t)
	for _, f := range b.Check(t.Context()) {
		t.Logf("%s: %s; %s", f.Severity, f.Message, f.Fix)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		host, _ := backends.As[backends.ImageHost](b)
		if _, err := host.CollectImages(ctx, func(string) (string, func(), error) { return "", func() {}, nil }, false); err != nil {
			t.Errorf("the template stays on the server: %v", err)
		}
		b.Close()
	})
	backendtest.Run(t, backendtest.Harness{
		Open: open, Limit: 10 * time.Minute, Exhaustive: true,
		Spec:    func(_ testing.TB, name string) backends.Spec { return guest.Spec(name) },
		Renewed: func(_ testing.TB, name string) backends.Identity { return guest.Renewed(name) },
		Exec: func(ctx context.Context, e backends.Endpoint, command string) (string, error) {
			return guest.Exec(ctx, nil, e, command)
		},
	})
}
