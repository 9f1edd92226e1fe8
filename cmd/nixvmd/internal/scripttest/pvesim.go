package scripttest

import (
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
)

// startPVE starts a simulated Proxmox VE cluster, and sets PVE_URL, PVE_TOKEN_ID,
// PVE_FINGERPRINT and PVE_SECRET, the file with the secret of the token.
func startPVE(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: pvesim")
	}
	dir := ts.MkAbs("pvesim")
	ts.Check(os.Mkdir(dir, 0o700))
	sim, err := pvesim.New(pvesim.Config{Dir: dir})
	ts.Check(err)
	ts.Defer(sim.Close)
	token := pvesim.DefaultToken()
	secret := filepath.Join(dir, "secret")
	ts.Check(os.WriteFile(secret, []byte(token.Secret+"\n"), 0o600))
	for name, value := range map[string]string{
		"PVE_URL": sim.URL, "PVE_TOKEN_ID": token.ID, "PVE_FINGERPRINT": sim.Fingerprint, "PVE_SECRET": secret,
	} {
		ts.Setenv(name, value)
	}
}
