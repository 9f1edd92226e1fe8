package proxmox_test

import (
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

// table is a section of config.toml that is complete, with lines in the place of others.
func table(lines ...string) string {
	all := map[string]string{
		"url": `"https://pve1.example:8006"`, "token_id": `"nixvm@pve!laptop"`, "token_file": `"/home/me/token"`,
		"images": `"local"`, "disks": `"local-lvm"`,
	}
	for _, l := range lines {
		key, value, _ := strings.Cut(l, " = ")
		all[key] = value
	}
	var b strings.Builder
	b.WriteString("[backends.lab]\ntype = \"proxmox\"\n")
	for k, v := range all {
		if v != "" {
			b.WriteString(k + " = " + v + "\n")
		}
	}
	return b.String()
}

func configure(text string) (backends.Opener, error) {
	return proxmox.Driver().Configure(backends.NewSettings("config.toml", []byte(text), "lab"))
}

func TestSettings(t *testing.T) {
	for _, good := range [][]string{
		nil,
		{`node = "any"`},
		{`node = "pve-2"`},
		{`vmids = "9000-9999"`},
		{`bridge = "vmbr1"`},
		{`pool = "agents/nixvm"`},
		{`fingerprint = "` + strings.Repeat("AB:", 31) + `AB"`},
		{`ca_file = "/etc/ca.pem"`},
		{`token_file = `, `token_command = ["pass", "show", "pve"]`},
		{`token_file = `, `token_env = "PVE_SECRET"`},
	} {
		open, err := configure(table(good...))
		if err != nil {
			t.Errorf("%q: %v", good, err)
			continue
		}
		if good != nil {
			continue
		}
		b, err := open(backends.Site{Name: "lab", Layout: paths.Under(t.TempDir())})
		if err != nil {
			t.Fatal(err)
		}
		if b.Type() != "proxmox" || b.Name() != "lab" || backends.DefaultNetworkOf(b) != "bridge:vmbr0" {
			t.Errorf("opened %s of type %s on %s", b.Name(), b.Type(), backends.DefaultNetworkOf(b))
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestBadSettingsAreRefusedByName(t *testing.T) {
	for bad, word := range map[string]string{
		`url = "http://pve1:8006"`: "url", `url = "pve1"`: "url", `url = `: "url",
		`token_id = "root@pam"`: "token_id", `token_file = `: "token_file", `token_env = "X"`: "exactly one", `token_file = "token"`: "absolute",
		`ca_file = "ca.pem"`: "ca_file", `fingerprint = "AB"`: "fingerprint",
		`node = "a b"`: "node", `images = ""`: "images", `disks = "-x"`: "disks", `bridge = "a/b"`: "bridge", `pool = "a b"`: "pool",
		`vmids = "9000"`: "vmids", `vmids = "99-200"`: "vmids", `vmids = "300-200"`: "vmids", `vmids = "100-1000000000"`: "vmids",
		`insecure = true`: "insecure",
	} {
		_, err := configure(table(bad))
		if !problem.HasCode(err, problem.ConfigInvalid) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s = %v, want config.invalid with %q", bad, err, word)
		}
	}
}
