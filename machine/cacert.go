package machine

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
)

// parseCACert takes the certificates of the file, ignoring any text around
// them. A key beside them is refused: all of it goes into a guest.
func parseCACert(m *Machine, t text) error {
	const hint = "the file must contain certificates in PEM format: -----BEGIN CERTIFICATE----- and so on"
	rest, out := t.data, bytes.Buffer{}
	for {
		at := 1 + bytes.Count(t.data[:len(t.data)-len(rest)], []byte("\n"))
		block, after := pem.Decode(rest)
		if block == nil {
			if bytes.Contains(rest, []byte("-----BEGIN")) {
				return t.fault(at, hint, "the PEM block that begins here is incomplete")
			}
			break
		}
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return t.fault(at, "remove it: the content of this file is given to the guest, which is not trusted", "it contains a private key")
		}
		if block.Type != "CERTIFICATE" {
			return t.fault(at, hint, "%s is not a certificate", quote(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return t.fault(at, hint, "this is not a certificate: %s", quote(err.Error()))
		}
		out.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		rest = after
	}
	if out.Len() == 0 && len(bytes.TrimSpace(t.data)) > 0 {
		return t.fault(1, hint, "it contains no certificate")
	}
	m.CACert = out.String()
	return nil
}
