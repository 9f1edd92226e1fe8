package sshconfig

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/nixvm/nixvm/internal/damaged"
)

func ruins(whole []byte) map[string][]byte {
	return map[string][]byte{
		"empty": {}, "truncated": whole[:len(whole)/2], "zeros": make([]byte, len(whole)), "garbage": []byte("\x7fELF\x02\x00\x01{"),
	}
}

func repair(t *testing.T, c *Config, notices int) Repaired {
	t.Helper()
	r, err := c.Repair(t.Context())
	if err != nil || len(r.Notices) != notices {
		t.Fatalf("%+v, %v", r, err)
	}
	return r
}

// TestDamagedMemoryIsFoundOutAgain: Remove does what it would have done.
func TestDamagedMemoryIsFoundOutAgain(t *testing.T) {
	for name, user := range map[string]string{"the user had a file": "Host other\n  Port 7\n", "the user had none": ""} {
		for how := range ruins([]byte("{}")) {
			t.Run(name+"/"+how, func(t *testing.T) {
				c := newConfig(t)
				if user != "" {
					writeUserConfig(t, c, user)
				}
				mustApply(t, c, host("demo"))
				repair(t, c, 0)
				want, err := c.loadMemory()
				if err != nil {
					t.Fatal(err)
				}
				whole, err := os.ReadFile(c.statePath())
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(c.statePath(), ruins(whole)[how], 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Apply(t.Context(), []Host{host("demo")}); err == nil {
					t.Error("it is not noticed")
				}
				r := repair(t, c, 1)
				if aside := damaged.Find(c.dir); len(aside) != 1 || !strings.Contains(r.Notices[0], aside[0]) {
					t.Errorf("%q, %q", aside, r.Notices)
				}
				got, err := c.loadMemory()
				for path, fm := range want.Files { // directories that were made stay behind, if they are empty
					fm.CreatedDirs = nil
					want.Files[path] = fm
				}
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%v\n%s", err, diff)
				}
				repair(t, c, 0)
				if err := c.Remove(t.Context()); err != nil {
					t.Fatal(err)
				}
				if now, err := os.ReadFile(c.UserConfig()); string(now) != user || user == "" && !os.IsNotExist(err) {
					t.Errorf("the user's file is %q, %v", now, err)
				}
			})
		}
	}
}

// TestMemoryOfANewerNixvmdIsLeftAlone: its fields may have other types.
func TestMemoryOfANewerNixvmdIsLeftAlone(t *testing.T) {
	c := newConfig(t)
	text := `{"version": 2, "files": ["a"]}`
	if err := os.WriteFile(c.statePath(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Repair(t.Context()); err == nil || !strings.Contains(err.Error(), "newer nixvmd") || len(r.Notices) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if now, err := os.ReadFile(c.statePath()); err != nil || string(now) != text {
		t.Errorf("%q, %v", now, err)
	}
}

func TestDamagedClientKey(t *testing.T) {
	c := newConfig(t)
	before, err := c.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{c.IdentityFile(), c.IdentityFile() + ".pub"} {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for how, text := range ruins(whole) {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			r := repair(t, c, 1)
			now, err := c.PublicKey()
			if err != nil {
				t.Fatal(err)
			}
			private := file == c.IdentityFile()
			if private && (r.OldKey != before || r.NewKey != now || now == before) || !private && (r.NewKey != "" || now != before) {
				t.Errorf("%s, %s: %+v; the key was %s and is %s", filepath.Base(file), how, r, before, now)
			}
			public, err := os.ReadFile(c.IdentityFile() + ".pub")
			if err != nil || string(bytes.TrimSpace(public)) != now {
				t.Errorf("%s, %s: the public half is %q, %v", filepath.Base(file), how, public, err)
			}
			before = now
			repair(t, c, 0)
		}
		if kept := slices.DeleteFunc(damaged.Find(c.dir), func(p string) bool { return !strings.HasPrefix(p, file+".damaged") }); len(kept) != 4 {
			t.Errorf("%s: kept %q", filepath.Base(file), kept)
		}
	}
}

// TestAKeyWithAPassphraseIsNotDamaged: a person has put it there.
func TestAKeyWithAPassphraseIsNotDamaged(t *testing.T) {
	c := newConfig(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "x", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.IdentityFile(), pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Repair(t.Context()); err == nil || !strings.Contains(err.Error(), "passphrase") || r.NewKey != "" {
		t.Errorf("%+v, %v", r, err)
	}
}
