package machine

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

// certificate makes one, with its key, as PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestCertificatesOfTheMachineGoToTheGuestAndNothingElseDoes(t *testing.T) {
	cert, key := certificate(t)
	other, _ := certificate(t)
	for name, tt := range map[string]struct{ file, want, fault string }{
		"none":                    {"", "", ""},
		"one":                     {cert, cert, ""},
		"text around two":         {"Our own CA\n\n" + cert + "\n# and the old one\n" + other + "\n", cert + other, ""},
		"from another system":     {strings.ReplaceAll(cert, "\n", "\r\n"), cert, ""},
		"a key beside it":         {cert + key, "", "private key"},
		"only a key":              {key, "", "private key"},
		"half a certificate":      {cert + other[:100], "", "is incomplete"},
		"no certificate":          {"hello\n", "", "it contains no certificate"},
		"something else":          {string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte("x")})), "", "X509 CRL"},
		"not what it pretends to": {string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), "", "not a certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			var m Machine
			err := parseCACert(&m, text{CACertFile, []byte(tt.file)})
			if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Fatalf("got %v, want %q", err, tt.fault)
			}
			if m.CACert != tt.want {
				t.Errorf("got %q", m.CACert)
			}
		})
	}
}
