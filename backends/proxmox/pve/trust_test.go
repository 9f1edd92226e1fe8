package pve_test

import (
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

func TestTheCertificateIsVerified(t *testing.T) {
	s := newServer(t)
	s.on("GET", "/version", data(map[string]string{"release": "9.1"}))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	plain := strings.ToLower(strings.ReplaceAll(s.fingerprint(), ":", ""))
	other := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		trust pve.Trust
		ok    bool
	}{
		"a pinned fingerprint":                {pve.Trust{Fingerprint: s.fingerprint()}, true},
		"a fingerprint without colons":        {pve.Trust{Fingerprint: plain}, true},
		"the authority of a file":             {pve.Trust{CAFile: ca}, true},
		"the fingerprint of another one":      {pve.Trust{Fingerprint: other}, false},
		"the authorities of the system alone": {pve.Trust{}, false},
	} {
		before := s.asked("GET", "/version")
		err := s.clientWith(t, func(config *pve.Config) { config.Trust = c.trust }).Get(t.Context(), "/version", nil, nil)
		if c.ok {
			if err != nil {
				t.Errorf("with %s: %v", name, err)
			}
			continue
		}
		var untrusted *pve.UntrustedError
		if !errors.As(err, &untrusted) || untrusted.Fingerprint != s.fingerprint() || pve.Lost(err) {
			t.Errorf("with %s: %v", name, err)
		}
		if s.asked("GET", "/version") != before {
			t.Errorf("with %s, the request, and so the secret, was sent", name)
		}
	}
}

func TestBadTrustIsRefused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, trust := range []pve.Trust{
		{Fingerprint: "AA:BB"},
		{Fingerprint: strings.Repeat("zz", 32)},
		{CAFile: "relative.pem"},
		{CAFile: empty},
		{CAFile: "/ca.pem", Fingerprint: strings.Repeat("ab", 32)},
	} {
		if _, err := pve.New(pve.Config{URL: "https://h", TokenID: tokenID, Secret: pve.Secret{Env: "X"}, Trust: trust}); err == nil {
			t.Errorf("%+v is accepted", trust)
		}
	}
}

func TestAddressesAndTokenIDsAreChecked(t *testing.T) {
	for _, bad := range []string{"", "http://h:8006", "h:8006", "https://", "https://u:p@h", "https://h/x", "https://h?x=1", "https://h\n"} {
		if pve.CheckURL(bad) == nil {
			t.Errorf("the address %q is accepted", bad)
		}
	}
	for _, good := range []string{"https://h", "https://h:8006", "https://[fd00::1]:8006/"} {
		if err := pve.CheckURL(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "a@pve", "a!b", "a@pve!b", "a@pve!b c", "a@pve!b\r\nX: y", "a:b@pve!token"} {
		if pve.CheckTokenID(bad) == nil {
			t.Errorf("the token id %q is accepted", bad)
		}
	}
	if err := pve.CheckTokenID(tokenID); err != nil {
		t.Error(err)
	}
}
