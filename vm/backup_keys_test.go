package vm

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/archive"
	"github.com/nixvm/nixvm/machine"
)

// The key of this nixvm would let it into whatever is made from the archive elsewhere.
// Archives of earlier versions have one, and so have machines that they made.
func TestNoArchiveAuthorizesTheNixvmThatWroteIt(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	own, err := h.ssh.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(h.layout.Machines(), "demo")
	if _, err := os.Stat(filepath.Join(dir, machine.AdminKeysFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a new machine without keys has a file of them: %v", err)
	}
	h.byHand(t, "demo", machine.AdminKeysFile, own+"\n")
	h.byHand(t, "demo", machine.UserKeysFile, "# mine\n"+own+"\n"+deskKey+"\n")
	to := t.TempDir()
	op, err := h.Backup(background, api.BackupCreateParams{Name: "demo", To: to, WithIdentity: true})
	op = h.succeed(t, op, err)
	f, a, err := h.openArchive(op.Backup)
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	f.Close()
	if _, has := a.Files[machine.AdminKeysFile]; has || string(a.Files[machine.UserKeysFile]) != "# mine\n"+deskKey+"\n" {
		t.Errorf("the archive authorizes %q and %q", a.Files[machine.AdminKeysFile], a.Files[machine.UserKeysFile])
	}
	old := filepath.Join(to, "old"+archive.Suffix)
	h.rewrite(t, op.Backup, old, func(files map[string][]byte) {
		files[machine.AdminKeysFile] = []byte(deskKey + " nixvm\n" + strings.Replace(otherKey, " other", " nixvm", 1) + "\n")
	})
	seen, err := h.InspectBackup(background, api.BackupInspectParams{Backup: old, Name: "new"})
	if err != nil || slices.ContainsFunc(seen.Settings, func(s api.BackupSetting) bool { return strings.Contains(s.Text, strings.Fields(otherKey)[1]) }) {
		t.Errorf("%+v, %v", seen, err)
	}
	made, err := h.RestoreBackup(background, api.BackupRestoreParams{Backup: old, Name: "new", Confirm: "new"})
	made = h.succeed(t, made, err)
	m, err := h.machines.Read("new")
	if err != nil || !slices.Equal(m.AdminKeys, []string{deskKey + " nixvm"}) || !slices.Equal(m.UserKeys, []string{deskKey}) {
		t.Errorf("admin %q, user %q, %v", m.AdminKeys, m.UserKeys, err)
	}
	if !strings.Contains(strings.Join(made.Warnings, "\n"), "the key of the nixvm that wrote it") {
		t.Errorf("nothing is said: %q", made.Warnings)
	}
	if n := bytes.Count(identityOf(t, h, "new"), []byte(own)); n != 2 {
		t.Errorf("this nixvm is authorized %d times", n)
	}
}

// rewrite makes an archive with other files of the machine.
func (h house) rewrite(t *testing.T, from, to string, change func(map[string][]byte)) {
	t.Helper()
	f, a, err := h.openArchive(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer a.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	change(a.Files)
	if err := archive.Write(out, a.Manifest, a.Files, a.Disk); err != nil {
		t.Fatal(err)
	}
}
