package vm

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/archive"
	"github.com/nixvm/nixvm/internal/problem"
)

// backedUp makes a running VM "demo" with a backup of "precious", and "today" on its disk.
func (h house) backedUp(t *testing.T, p api.BackupCreateParams) api.Operation {
	t.Helper()
	h.create(t, "demo")
	if err := h.fake.Write("demo", "precious"); err != nil {
		t.Fatal(err)
	}
	p.Name = "demo"
	op, err := h.Backup(background, p)
	op = h.succeed(t, op, err)
	if err := h.fake.Write("demo", "today"); err != nil {
		t.Fatal(err)
	}
	return op
}

// backupFiles are the names in our own directory of backups.
func (h house) backupFiles(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(h.layout.Backups())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (h house) content(t *testing.T, name string) string {
	t.Helper()
	got, err := h.fake.Content(name)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestABackupOfARunningVMIsListed(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	op := h.backedUp(t, api.BackupCreateParams{})
	list, err := h.Backups(background, "demo")
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	b := list[0]
	if b.ID != op.Backup || b.Machine != "demo" || b.Problem != nil || b.Identity || !b.Consistent || b.Bytes == 0 || b.DiskBytes == 0 || len(op.Warnings) > 0 {
		t.Errorf("%+v of %+v", b, op)
	}
	if v, _ := h.Get("demo"); v.State != backends.Running {
		t.Errorf("the VM is %s", v.State)
	}
	if left, err := h.Snapshots(background, "demo"); err != nil || len(left) > 0 {
		t.Errorf("left of the backup: %+v, %v", left, err)
	}
	if files := h.backupFiles(t); !slices.Equal(files, []string{op.Backup + archive.Suffix}) {
		t.Errorf("files: %q", files)
	}
	if other, err := h.Backups(background, "dem"); err != nil || len(other) > 0 {
		t.Errorf("of another machine: %+v, %v", other, err)
	}
}

// The files in an archive, and none that is a secret unless it was asked for.
func TestABackupHasSecretsOnlyIfThatIsAskedFor(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	secrets := []string{"machine-id", "uuid", "mac-address", "ssh_host_ed25519_key", "root_password_hash"}
	hash := filepath.Join(h.layout.Machines(), "demo", "root_password_hash")
	if err := os.WriteFile(hash, []byte("$6$salt$"+strings.Repeat("x", 86)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, identity := range []bool{false, true} {
		op, err := h.Backup(background, api.BackupCreateParams{Name: "demo", WithIdentity: identity})
		op = h.succeed(t, op, err)
		f, a, err := h.openArchive(filepath.Join(h.layout.Backups(), op.Backup+archive.Suffix))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range secrets {
			if _, has := a.Files[file]; has != identity {
				t.Errorf("with identity: %t, has %s: %t", identity, file, has)
			}
		}
		if a.Files["profile"] == nil || a.Manifest.Identity != identity {
			t.Errorf("%+v with %d files", a.Manifest, len(a.Files))
		}
		a.Close()
		f.Close()
	}
}

func TestABackupIsRestoredToItsVM(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	op := h.backedUp(t, api.BackupCreateParams{})
	snap, err := h.CreateSnapshot(background, "demo", "s1", "", "t")
	h.succeed(t, snap, err)
	before := tree(t, filepath.Join(h.layout.Machines(), "demo"))
	generation := h.recordOf("demo").Generation
	if _, err := h.RestoreBackup(background, api.BackupRestoreParams{Backup: op.Backup}); !problem.HasCode(err, problem.ConfirmRequired) {
		t.Errorf("without a confirmation: %v", err)
	}
	restore, err := h.RestoreBackup(background, api.BackupRestoreParams{Backup: op.Backup, Confirm: "demo"})
	restore = h.succeed(t, restore, err)
	if restore.Kind != api.KindRestoreBackup || restore.Safety == "" || restore.Backup != op.Backup || restore.Kind.Outcome() != api.OutcomeReplaced {
		t.Errorf("%+v", restore)
	}
	if v, _ := h.Get("demo"); v.State != backends.Running || h.content(t, "demo") != "precious" {
		t.Errorf("it is %s with %q", v.State, h.content(t, "demo"))
	}
	if after := tree(t, filepath.Join(h.layout.Machines(), "demo")); after != before {
		t.Error("the machine directory is another one")
	}
	if now := h.recordOf("demo").Generation; now <= generation {
		t.Errorf("the disk may remember generation %d, the medium has %d", generation, now)
	}
	list, err := h.Snapshots(background, "demo")
	if names := snapshotNames(list); err != nil || !slices.Equal(names, []string{"s1", restore.Safety}) {
		t.Errorf("snapshots: %q, %v", names, err)
	}
	undo, err := h.RestoreSnapshot(background, "demo", restore.Safety, "demo", "t")
	h.succeed(t, undo, err)
	if got := h.content(t, "demo"); got != "today" {
		t.Errorf("the restore is undone to %q", got)
	}
}

func TestAMachineThatIsGoneComesBackFromItsBackup(t *testing.T) {
	for _, identity := range []bool{false, true} {
		h := open(t, t.TempDir(), images{}, nil, nil)
		op := h.backedUp(t, api.BackupCreateParams{WithIdentity: identity})
		was, err := h.machines.Read("demo")
		if err != nil {
			t.Fatal(err)
		}
		gone, err := h.Destroy(background, "demo", "demo", "t")
		h.succeed(t, gone, err)
		restore, err := h.RestoreBackup(background, api.BackupRestoreParams{Backup: op.Backup})
		restore = h.succeed(t, restore, err)
		is, err := h.machines.Read("demo")
		if err != nil {
			t.Fatal(err)
		}
		if same := is.HostKeyPublic == was.HostKeyPublic && is.UUID == was.UUID && is.MachineID == was.MachineID; same != identity {
			t.Errorf("with identity: %t, the same: %t", identity, same)
		}
		v, err := h.Get("demo")
		if err != nil || restore.Kind != api.KindImport || !v.Ready || h.content(t, "demo") != "precious" || h.recordOf("demo").Generation == 0 || h.recordOf("demo").Image.ID != "img1" {
			t.Errorf("%+v: %+v with %q, %v", restore, v, h.content(t, "demo"), err)
		}
	}
}

func TestABackupBecomesAnotherMachine(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	op := h.backedUp(t, api.BackupCreateParams{WithIdentity: true})
	made, err := h.RestoreBackup(background, api.BackupRestoreParams{Backup: op.Backup, Name: "copy", Backend: "other", NoStart: true})
	h.succeed(t, made, err)
	demo, err := h.machines.Read("demo")
	if err != nil {
		t.Fatal(err)
	}
	is, err := h.machines.Read("copy")
	if err != nil || is.HostKeyPublic == demo.HostKeyPublic || is.UUID == demo.UUID || is.MAC == demo.MAC || is.Hostname != "copy" || is.Backend != "other" {
		t.Errorf("%+v, %v", is, err)
	}
	if content, err := h.other.Content("copy"); content != "precious" || err != nil {
		t.Errorf("%q, %v", content, err)
	}
	if h.content(t, "demo") != "today" {
		t.Error("the machine of the backup is changed")
	}
}

func TestAMachineDirectoryThatIsThereIsUsed(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	op := h.backedUp(t, api.BackupCreateParams{WithIdentity: true})
	gone, err := h.Destroy(background, "demo", "demo", "t")
	h.succeed(t, gone, err)
	dir := filepath.Join(h.layout.Machines(), "demo")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"profile": "dev\n", "memory": "3072\n", "image": "trial\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	restore, err := h.RestoreBackup(background, api.BackupRestoreParams{Backup: op.Backup})
	restore = h.succeed(t, restore, err)
	v, err := h.Get("demo")
	if err != nil || v.MemoryMiB != 3072 || h.content(t, "demo") != "precious" || !strings.Contains(strings.Join(restore.Warnings, "\n"), "machine directory") {
		t.Errorf("%+v, %+v, %v", restore, v, err)
	}
}

// An archive from elsewhere: what it would do is shown, and asked for.
func TestAnArchiveFromElsewhereIsConfirmed(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	to := t.TempDir()
	h.create(t, "demo")
	dir := filepath.Join(h.layout.Machines(), "demo")
	for file, text := range map[string]string{"remote_forwards": "8080 localhost:80\n", "allowed_cidrs": "# mine\n10.0.0.0/8\n", "vmid": "104\n", "backend": "gone\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.inventory.Reload("demo")
	op, err := h.Backup(background, api.BackupCreateParams{Name: "demo", To: to})
	op = h.succeed(t, op, err)
	if filepath.Dir(op.Backup) != to || len(h.backupFiles(t)) > 0 {
		t.Fatalf("it is at %q, and %q are here", op.Backup, h.backupFiles(t))
	}
	_, err = h.InspectBackup(background, api.BackupInspectParams{Backup: op.Backup, Name: "new", Backend: "moon"})
	wantProblem(t, err, problem.BackendUnknown)
	seen, err := h.InspectBackup(background, api.BackupInspectParams{Backup: op.Backup, Name: "new"})
	if err != nil || seen.Name != "new" || !seen.Confirm || seen.Replaces {
		t.Errorf("%+v, %v", seen, err)
	}
	for _, want := range []api.BackupSetting{{File: "image", Text: "trial"}, {File: "remote_forwards", Text: "8080 localhost:80"}, {File: "allowed_cidrs", Text: "10.0.0.0/8"}, {File: "backend", Text: "gone"}} {
		if !slices.Contains(seen.Settings, want) {
			t.Errorf("%+v is not shown: %+v", want, seen.Settings)
		}
	}
	req := api.BackupRestoreParams{Backup: op.Backup, Name: "new", NoStart: true}
	if _, err := h.RestoreBackup(background, req); !problem.HasCode(err, problem.ConfirmRequired) {
		t.Errorf("without a confirmation: %v", err)
	}
	req.Confirm = "new"
	made, err := h.RestoreBackup(background, req)
	made = h.succeed(t, made, err)
	m, err := h.machines.Read("new")
	if err != nil || m.VMID != 0 || m.Backend != "test" || len(m.AllowedCIDRs) != 1 || !strings.Contains(strings.Join(made.Warnings, "\n"), "no backend gone") {
		t.Errorf("%+v, %+v, %v", made, m, err)
	}
}

func TestWhatCannotBeRestoredIsRefused(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	op := h.backedUp(t, api.BackupCreateParams{})
	path := filepath.Join(h.layout.Backups(), op.Backup+archive.Suffix)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		to := filepath.Join(t.TempDir(), name+archive.Suffix)
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return to
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	before := tree(t, h.layout.Data)
	for what, c := range map[string]struct {
		backup, name string
		code         problem.Code
	}{
		"no such backup":       {"nosuch", "", problem.BackupNotFound},
		"a path in the id":     {"../" + op.Backup, "", problem.BackupNotFound},
		"no such file":         {"/nonexistent/x", "", problem.BackupNotFound},
		"a directory":          {h.layout.Backups(), "", problem.ArchiveInvalid},
		"a pipe":               {fifo, "", problem.ArchiveInvalid},
		"no archive":           {write("no", []byte("no")), "", problem.ArchiveInvalid},
		"a head that is gone":  {write("begin", whole[:20]), "", problem.ArchiveInvalid},
		"a bad name":           {op.Backup, "localhost", problem.MachineNameInvalid},
		"a backend that is no": {op.Backup, "new", problem.BackendUnknown},
	} {
		req := api.BackupRestoreParams{Backup: c.backup, Name: c.name, Confirm: c.name}
		if c.code == problem.BackendUnknown {
			req.Backend = "nosuch"
		}
		if _, err := h.RestoreBackup(background, req); !problem.HasCode(err, c.code) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What is noticed while it is read is undone.
	cut := write("cut", whole[:len(whole)-20])
	for _, name := range []string{"new", "demo"} {
		op, err := h.RestoreBackup(background, api.BackupRestoreParams{Backup: cut, Name: name, Confirm: name})
		if op = h.do(t, op, err); op.State != api.OpFailed || !problem.HasCode(op.Problem, problem.ArchiveInvalid) {
			t.Errorf("%s from an archive that is cut off: %+v", name, op)
		}
	}
	if after := tree(t, h.layout.Data); after != before {
		t.Errorf("left of what was refused:\n%s\nbefore:\n%s", after, before)
	}
	if v, _ := h.Get("demo"); v.State != backends.Running || h.content(t, "demo") != "today" {
		t.Errorf("demo is %s with %q", v.State, h.content(t, "demo"))
	}
	if list, err := h.Snapshots(background, "demo"); err != nil || len(list) > 0 {
		t.Errorf("snapshots: %+v, %v", list, err)
	}
}

func TestABackupThatFailsLeavesNothing(t *testing.T) {
	target := t.TempDir()
	broken := true
	h := open(t, t.TempDir(), images{}, func(method, _ string) error {
		if method == "export" && broken {
			return os.RemoveAll(target) // the disk is pulled out
		}
		return nil
	}, nil)
	h.create(t, "demo")
	for what, to := range map[string]string{"missing": "/nonexistent", "no directory": "/dev/null"} {
		if _, err := h.Backup(background, api.BackupCreateParams{Name: "demo", To: to}); !problem.HasCode(err, problem.BadParams) {
			t.Errorf("%s: %v", what, err)
		}
	}
	op, err := h.Backup(background, api.BackupCreateParams{Name: "demo", To: target})
	if op = h.do(t, op, err); op.State != api.OpFailed || !problem.HasCode(op.Problem, problem.BackupFailed) || op.Problem.Hint == "" {
		t.Errorf("the target vanishes: %+v", op)
	}
	if list, err := h.Snapshots(background, "demo"); err != nil || len(list) > 0 {
		t.Errorf("snapshots: %+v, %v", list, err)
	}
	if v, _ := h.Get("demo"); v.State != backends.Running {
		t.Errorf("demo is %s", v.State)
	}
	wantNoJournal(t, h)
}

func TestABackupWhoseDirectoryIsRenamedLeavesNothing(t *testing.T) {
	target := filepath.Join(t.TempDir(), "backups")
	moved := target + "-moved"
	h := open(t, t.TempDir(), images{}, func(method, _ string) error {
		if method == "export" {
			return os.Rename(target, moved)
		}
		return nil
	}, nil)
	h.create(t, "demo")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	op, err := h.Backup(background, api.BackupCreateParams{Name: "demo", To: target})
	if op = h.do(t, op, err); op.State != api.OpFailed || !problem.HasCode(op.Problem, problem.BackupFailed) {
		t.Errorf("the target is renamed: %+v", op)
	}
	if left, err := os.ReadDir(moved); err != nil || len(left) > 0 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
	wantNoJournal(t, h)
}

func TestABackupThatIsCancelledLeavesNothing(t *testing.T) {
	begun, over := make(chan struct{}, 1), make(chan struct{})
	h := open(t, t.TempDir(), images{}, func(method, _ string) error {
		if method == "export" {
			begun <- struct{}{}
			<-over
		}
		return nil
	}, nil)
	h.create(t, "demo")
	op, err := h.Backup(background, api.BackupCreateParams{Name: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := h.Cancel(op.ID); err != nil {
		t.Fatal(err)
	}
	close(over)
	if op = h.do(t, op, nil); op.State != api.OpCancelled {
		t.Errorf("%+v", op)
	}
	if files := h.backupFiles(t); len(files) > 0 {
		t.Errorf("left: %q", files)
	}
	if list, err := h.Snapshots(background, "demo"); err != nil || len(list) > 0 {
		t.Errorf("snapshots: %+v, %v", list, err)
	}
}

func TestAnArchiveGoesThroughAPipe(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	op, err := h.Backup(background, api.BackupCreateParams{Name: "demo", To: fifo})
	if op = h.do(t, op, err); op.State != api.OpFailed || !problem.HasCode(op.Problem, problem.BackupFailed) {
		t.Errorf("without a reader: %+v", op)
	}
	hold, err := os.OpenFile(fifo, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	var got bytes.Buffer
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(&got, from)
		done <- err
	}()
	op, err = h.Backup(background, api.BackupCreateParams{Name: "demo", To: fifo})
	h.succeed(t, op, err)
	hold.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a, err := archive.Open(&got)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Verify(); err != nil || a.Manifest.Machine != "demo" {
		t.Errorf("%+v, %v", a.Manifest, err)
	}
}

func TestOldBackupsAreRemoved(t *testing.T) {
	at := func(text string) api.Backup {
		when, err := time.ParseInLocation("2006-01-02 15:04", text, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return api.Backup{ID: text, Created: when}
	}
	var list []api.Backup
	for _, text := range []string{
		"2026-11-01 10:00", "2026-11-08 10:00", "2026-11-15 10:00", "2026-11-22 10:00", "2026-11-27 10:00", "2026-11-28 09:00", "2026-11-28 10:00", "2026-11-29 10:00",
	} {
		list = append(list, at(text))
	}
	for _, c := range []struct {
		keep Keep
		want string
	}{
		{Keep{Daily: 2, Weekly: 2}, "2026-11-22 10:00 2026-11-28 10:00 2026-11-29 10:00"},
		{Keep{Daily: 3}, "2026-11-27 10:00 2026-11-28 10:00 2026-11-29 10:00"},
		{Keep{Weekly: 3}, "2026-11-15 10:00 2026-11-22 10:00 2026-11-29 10:00"},
		{Keep{Daily: 100, Weekly: 1}, "2026-11-01 10:00 2026-11-08 10:00 2026-11-15 10:00 2026-11-22 10:00 2026-11-27 10:00 2026-11-28 10:00 2026-11-29 10:00"},
	} {
		old := superseded(list, c.keep)
		var kept []string
		for _, b := range list {
			if !slices.Contains(old, b) {
				kept = append(kept, b.ID)
			}
		}
		if got := strings.Join(kept, " "); got != c.want {
			t.Errorf("%+v keeps\n%s, want\n%s", c.keep, got, c.want)
		}
	}
}

func TestABackupRemovesThoseThatTheRuleDoesNotKeep(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil, func(o *Options) { o.Config.Backup.Keep = Keep{Daily: 1} })
	h.create(t, "demo")
	elsewhere := filepath.Join(h.layout.Backups(), "demo-unreadable"+archive.Suffix)
	if err := os.WriteFile(elsewhere, []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	last := ""
	for range 2 {
		op, err := h.Backup(background, api.BackupCreateParams{Name: "demo"})
		last = h.succeed(t, op, err).Backup
	}
	list, err := h.Backups(background, "demo")
	if err != nil || len(list) != 2 || list[1].ID != last || list[0].Problem == nil {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestUnfinishedBackupsOfACrashAreSwept(t *testing.T) {
	home := t.TempDir()
	h, err := openHouse(home, images{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(h.layout.Backups(), ".demo-1"+archive.Suffix+partialSuffix)
	if err := os.WriteFile(stale, []byte("part"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if h = open(t, home, images{}, nil, nil); len(h.backupFiles(t)) > 0 {
		t.Errorf("left: %q", h.backupFiles(t))
	}
}

// backupKinds are the operations on backups that a crash test interrupts.
var backupKinds = map[string]func(h house) (api.Operation, error){
	"backup": func(h house) (api.Operation, error) {
		return h.Backup(background, api.BackupCreateParams{Name: "demo"})
	},
	"restore-backup": func(h house) (api.Operation, error) { return h.restoreOnly("demo") },
	"import":         func(h house) (api.Operation, error) { return h.restoreOnly("copy") },
}

// restoreOnly restores the only backup that there is.
func (h house) restoreOnly(name string) (api.Operation, error) {
	list, err := h.Backups(context.Background(), "")
	if err != nil || len(list) == 0 {
		return api.Operation{}, err
	}
	return h.RestoreBackup(background, api.BackupRestoreParams{Backup: list[0].ID, Name: name, Confirm: name})
}

// killBackup kills the daemon at a journal entry of an operation on a backup, and checks
// that the next one ends before or after it; false = it had ended.
func killBackup(t *testing.T, kind string, at int) bool {
	t.Helper()
	home := t.TempDir()
	h, err := openHouse(home, images{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.backedUp(t, api.BackupCreateParams{})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	killed := crash(t, home, kind, at)
	again := open(t, home, images{}, nil, nil)
	for _, op := range again.Operations() {
		if op = again.do(t, op, nil); op.State == api.OpFailed {
			t.Errorf("recovery of %s at %d failed: %v", op.Kind, at, op.Problem)
		}
	}
	wantNoJournal(t, again)
	v, err := again.Get("demo")
	content := again.content(t, "demo")
	list, lerr := again.Snapshots(background, "demo")
	backups, berr := again.Backups(background, "")
	if err != nil || lerr != nil || berr != nil || v.State != backends.Running {
		t.Fatalf("killed at %d, demo is %+v: %v, %v, %v", at, v, err, lerr, berr)
	}
	restored := kind == "restore-backup" && content == "precious" && len(list) == 1
	if !restored && (content != "today" || len(list) > 0) {
		t.Errorf("killed at %d, neither before nor after: %q, %v", at, content, snapshotNames(list))
	}
	if files := again.backupFiles(t); len(files) != len(backups) || len(backups) == 0 || len(backups) > 2 || kind != "backup" && len(backups) != 1 {
		t.Errorf("killed at %d, the backups are %q", at, files)
	}
	for _, b := range backups {
		if b.Problem != nil {
			t.Errorf("killed at %d, %s is listed: %v", at, b.ID, b.Problem)
		}
	}
	st, err := again.fake.Status(background, backends.Named("copy"))
	if _, gone := again.Get("copy"); err != nil || (gone != nil) != (st.State == backends.Absent) || gone == nil && again.content(t, "copy") != "precious" {
		t.Errorf("killed at %d, the import is %+v, %v", at, st, err)
	}
	return killed
}

// A sample of TestLongKillAtEveryStepOfABackup.
func TestKillInTheMiddleOfABackup(t *testing.T) {
	for kind, at := range map[string]int{"backup": 4, "restore-backup": 6, "import": 6} {
		t.Run(kind, func(t *testing.T) {
			if !killBackup(t, kind, at) {
				t.Errorf("%s has no entry %d", kind, at)
			}
		})
	}
}
