package pve

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Trust is how the certificate of the server is verified: by the system's authorities, by
// those of a file, or by the fingerprint of the certificate itself.
type Trust struct {
	CAFile      string // absolute path of PEM certificates
	Fingerprint string // SHA-256 of the certificate, hexadecimal, with or without colons
}

// UntrustedError is a server whose certificate could not be verified. Nothing, and so no
// secret, has been sent to it.
type UntrustedError struct {
	URL         string
	Fingerprint string // of the certificate that it showed, AA:BB:...
	Err         error
}

func (e *UntrustedError) Error() string {
	return fmt.Sprintf("the certificate of %s is not trusted: %v; its fingerprint (SHA-256) is %s", e.URL, e.Err, e.Fingerprint)
}

func (e *UntrustedError) Unwrap() error { return e.Err }

// Check refuses what is no trust. The CA file is not read.
func (t Trust) Check() error {
	if t.Fingerprint != "" && t.CAFile != "" {
		return errors.New("ca_file and fingerprint exclude each other")
	}
	if t.CAFile != "" && !strings.HasPrefix(t.CAFile, "/") {
		return fmt.Errorf("ca_file %q is not an absolute path", t.CAFile)
	}
	_, err := t.pin()
	return err
}

// pin is the fingerprint as bytes; nil = there is none.
func (t Trust) pin() ([]byte, error) {
	if t.Fingerprint == "" {
		return nil, nil
	}
	pin, err := hex.DecodeString(strings.ReplaceAll(t.Fingerprint, ":", ""))
	if err != nil || len(pin) != sha256.Size {
		return nil, fmt.Errorf("fingerprint %q is not a SHA-256 fingerprint: 32 bytes in hexadecimal, as in AA:BB:..:FF", t.Fingerprint)
	}
	return pin, nil
}

// config makes the TLS configuration. A pinned certificate need not be valid otherwise: it
// is that of a node which signed itself.
func (t Trust) config() (*tls.Config, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		text, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca_file %s has no PEM certificate", t.CAFile)
		}
	}
	if pin, _ := t.pin(); pin != nil {
		c.InsecureSkipVerify = true // VerifyConnection does it
		c.VerifyConnection = func(s tls.ConnectionState) error {
			sum := sha256.Sum256(s.PeerCertificates[0].Raw)
			if !bytes.Equal(sum[:], pin) {
				return &UntrustedError{URL: "the server", Fingerprint: Fingerprint(s.PeerCertificates[0]), Err: errors.New("it is not the pinned one")}
			}
			return nil
		}
	}
	return c, nil
}

// Fingerprint of a certificate as Proxmox VE shows it.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	var b strings.Builder
	for i, x := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02X", x)
	}
	return b.String()
}

// asUntrusted finds out whether a connection failed because of the certificate; nil = no.
func asUntrusted(url string, err error) *UntrustedError {
	var failed *tls.CertificateVerificationError
	if !errors.As(err, &failed) || len(failed.UnverifiedCertificates) == 0 {
		return nil
	}
	return &UntrustedError{URL: url, Fingerprint: Fingerprint(failed.UnverifiedCertificates[0]), Err: failed.Err}
}
