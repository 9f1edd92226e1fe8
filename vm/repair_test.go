package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/damaged"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/vm/inventory"
)

// ruins are what power cuts, full disks and bad disks make of a file.
func ruins(whole []byte) map[string][]byte {
	return map[string][]byte{
		"empty": {}, "truncated": whole[:len(whole)/2], "zeros": make([]byte, len(whole)), "garbage": []byte("\x7fELF\x02\x00\x01{"),
	}
}

// stateFiles are the files that nixvmd reads again at its next start, by what becomes of
// each when it is damaged. A file that is not here fails TestEveryStateFileIsKnown.
var stateFiles = map[string]string{
	"state/records/demo.json":                     "rebuilt",
	"state/ssh/state.json":                        "rebuilt",
	"state/ssh/id_ed25519":                        "rebuilt",
	"state/ssh/id_ed25519.pub":                    "rebuilt",
	"state/ssh/config":                            "written anew",
	"state/ssh/known_hosts":                       "written anew",
	"data/machines/demo/uuid":                     "rebuilt",
	"data/machines/demo/machine-id":               "rebuilt",
	"data/machines/demo/mac-address":              "rebuilt",
	"data/machines/demo/hostname":                 "rebuilt",
	"data/machines/demo/ssh_host_ed25519_key":     "rebuilt",
	"data/machines/demo/ssh_host_ed25519_key.pub": "written anew",
	"data/machines/demo/profile":                  "rebuilt",
	"data/machines/demo/image":                    "rebuilt",
	"data/machines/demo/tcp_ports":                "rebuilt",
	"data/machines/demo/root_password_hash":       "rebuilt",
	"data/machines/demo/disk_size":                "rebuilt",
	"data/machines/demo/admin_authorized_keys":    "rebuilt",
	"data/machines/demo/user_authorized_keys":     "rebuilt",
	"data/machines/demo/memory":                   "told",
	"data/machines/demo/vcpus":                    "told",
	"data/machines/demo/network":                  "told",
}

// ruinHouse makes a house with a VM that has work on its disk.
func ruinHouse(t *testing.T) (home string, layout paths.Layout) {
	t.Helper()
	home = t.TempDir()
	h, err := openHouse(home, images{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.create(t, "demo")
	if err := h.fake.Write("demo", "the work of a week"); err != nil {
		t.Fatal(err)
	}
	op, err := h.Kill(context.Background(), "demo", "")
	h.succeed(t, op, err)
	nat := "nat" // else there are no such files
	if _, err := h.Configure(context.Background(), api.ConfigureParams{Name: "demo", Network: &nat, AddKeys: []string{deskKey}}, ""); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	return home, h.layout
}

func TestEveryStateFileIsKnown(t *testing.T) {
	home, layout := ruinHouse(t)
	for _, dir := range []string{layout.Records(), layout.SSH(), filepath.Join(layout.Machines(), "demo"), layout.Journal()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			path, err := filepath.Rel(home, filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if stateFiles[path] == "" && !strings.HasSuffix(path, "lock") && !strings.HasSuffix(path, ".bak") {
				t.Errorf("%s: no test says what becomes of it when it is damaged", path)
			}
		}
	}
}

// TestDamagedFilesLoseNothing damages each file in turn, in each way. The VM
// starts with the next daemon, or a hint says which file to mend; what was
// damaged is kept and told; the disk is as it was.
func TestDamagedFilesLoseNothing(t *testing.T) { damagedFiles(t, "truncated", "zeros") }

func damagedFiles(t *testing.T, ways ...string) {
	t.Helper()
	home, layout := ruinHouse(t)
	safe := t.TempDir()
	if err := os.CopyFS(safe, os.DirFS(home)); err != nil {
		t.Fatal(err)
	}
	for _, file := range slices.Sorted(mapKeys(stateFiles)) {
		path := filepath.Join(home, file)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%s: %v", file, err) // the table is not what create writes
			continue
		}
		for _, how := range ways {
			text := ruins(whole)[how]
			t.Run(file+"/"+how, func(t *testing.T) {
				t.Cleanup(func() { // the next one finds the house as it was
					err := errors.Join(os.RemoveAll(home), os.CopyFS(home, os.DirFS(safe)))
					if err == nil {
						err = os.Chmod(filepath.Join(home, "state", "ssh", "id_ed25519"), 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				})
				if err := os.WriteFile(path, text, 0o600); err != nil {
					t.Fatal(err)
				}
				ruined(t, home, layout, path, text, stateFiles[file])
			})
		}
	}
}

func mapKeys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func ruined(t *testing.T, home string, layout paths.Layout, path string, text []byte, fate string) {
	dirs := []string{layout.Records(), layout.SSH(), layout.Machines()}
	before := damaged.Find(dirs...)
	h := open(t, home, images{}, nil, nil)
	v, err := h.Get("demo")
	if err != nil {
		t.Fatal(err)
	}
	aside := slices.DeleteFunc(damaged.Find(dirs...), func(p string) bool { return slices.Contains(before, p) })
	if p := v.Problem; p != nil {
		if fate != "told" || !strings.Contains(p.Message, path) || p.Hint == "" || strings.Contains(p.Hint, "purge") || strings.Contains(p.Hint, "backup") {
			t.Errorf("%s: %s (%s)", v.State, p.Message, p.Hint)
		}
		if err := os.Remove(path); err != nil { // what the hint of each such file allows
			t.Fatal(err)
		}
		h.inventory.Reload("demo")
	}
	for _, p := range aside {
		kept, err := os.ReadFile(p)
		if err != nil || !bytes.Equal(kept, text) || !strings.HasPrefix(p, path) {
			t.Errorf("%s holds %q, %v", p, kept, err)
		}
		if told := h.Notices(); len(told) != 1 || !strings.Contains(told[0].Text, p) {
			t.Errorf("%s is not told of: %+v", p, told)
		}
		if !slices.ContainsFunc(h.Doctor(t.Context()), func(f api.Finding) bool { return strings.Contains(f.Message, p) }) {
			t.Errorf("doctor does not name %s", p)
		}
	}
	op, err := h.Start(t.Context(), "demo", "")
	h.succeed(t, op, err)
	if got, err := h.fake.Content("demo"); err != nil || got != "the work of a week" {
		t.Errorf("the disk holds %q, %v", got, err)
	}
	op, err = h.Kill(t.Context(), "demo", "")
	h.succeed(t, op, err)
	if _, _, err := h.SSHApply(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestALostRecordIsMadeAgain: the VM of the machine is there, with its UUID.
func TestALostRecordIsMadeAgain(t *testing.T) {
	home, layout := ruinHouse(t)
	whole, err := os.ReadFile(layout.Record("demo"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(layout.Record("demo")); err != nil {
		t.Fatal(err)
	}
	h := open(t, home, images{}, nil, nil)
	var was, is inventory.Record
	if err := json.Unmarshal(whole, &was); err != nil {
		t.Fatal(err)
	}
	again := h.recordOf("demo")
	if again == nil {
		t.Fatal("there is none")
	}
	is = *again
	was.Image.Profiles = "" // which ones the image was chosen for is not known any more
	if is.Machine != was.Machine || is.Backend != was.Backend || is.Image != was.Image || is.Generation != was.Generation {
		t.Errorf("%+v, it was %+v", is, was)
	}
	if told := h.Notices(); len(told) != 1 || !strings.Contains(told[0].Text, "missing") {
		t.Errorf("%+v", told)
	}
	op, err := h.Start(t.Context(), "demo", "")
	h.succeed(t, op, err)
	if r := h.recordOf("demo"); r.Generation <= was.Generation {
		t.Errorf("generation %d after %d: the guest would not read its medium", r.Generation, was.Generation)
	}
}

// TestAStrangersVMIsNotTaken: a VM of the machine's name with another UUID is
// not the machine's.
func TestAStrangersVMIsNotTaken(t *testing.T) {
	home, layout := ruinHouse(t)
	if err := os.Remove(layout.Record("demo")); err != nil {
		t.Fatal(err)
	}
	uuid := filepath.Join(layout.Machines(), "demo", "uuid")
	if err := os.WriteFile(uuid, []byte("11111111-2222-4333-8444-555555555555\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, home, images{}, nil, nil)
	if r := h.recordOf("demo"); r != nil || len(h.Notices()) != 0 {
		t.Errorf("%+v, %+v", r, h.Notices())
	}
}

// TestADamagedRecordWithoutAVMIsSetAside: nothing is invented.
func TestADamagedRecordWithoutAVMIsSetAside(t *testing.T) {
	home, layout := ruinHouse(t)
	if err := os.Remove(filepath.Join(home, "fake", "demo.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(layout.Record("demo"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, home, images{}, nil, nil)
	v, err := h.Get("demo")
	if err != nil || v.State != backends.Absent || v.Problem != nil || len(damaged.Find(layout.Records())) != 1 {
		t.Errorf("%+v, %v, %q", v, err, damaged.Find(layout.Records()))
	}
}

// TestADamagedRecordKeepsTheOperationThatRan: the power cut that damaged it cut off an
// operation as well, which is about the same VM as before.
func TestADamagedRecordKeepsTheOperationThatRan(t *testing.T) {
	home := shortDir(t)
	h, err := openHouse(home, images{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.create(t, "demo")
	op, err := h.CreateSnapshot(background, "demo", "s", "", "t")
	h.succeed(t, op, err)
	instance := h.instanceOf("demo")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	id := newInstance()
	text := header(id, func(h map[string]any) {
		h["kind"], h["instance"], h["started"], h["args"] = "snapshot", instance, op.Started, map[string]any{"snapshot": "s"}
	}) + `{"event":"begin","step":"snapshot"}` + "\n"
	if err := os.WriteFile(filepath.Join(h.layout.Journal(), id+".jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.layout.Record("demo"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next := open(t, home, images{}, nil, nil)
	h.idleAll(t, next)
	if list, err := next.Snapshots(background, "demo"); err != nil || len(list) != 0 {
		t.Errorf("what was interrupted has not been undone: %v, %v", list, err)
	}
	wantNoJournal(t, next)
}

// TestARecordThatCannotBeReadNow is not one that is gone: the VM keeps its SSH names.
func TestARecordThatCannotBeReadNow(t *testing.T) {
	h := open(t, shortDir(t), images{}, nil, nil)
	h.create(t, "demo")
	path, away := h.layout.Record("demo"), filepath.Join(t.TempDir(), "away")
	if err := errors.Join(os.Rename(path, away), os.Mkdir(path, 0o700)); err != nil { // EISDIR
		t.Fatal(err)
	}
	h.inventory.Reload("demo")
	if v, err := h.Get("demo"); err != nil || v.State != backends.Broken || v.Problem == nil || v.SSHHost == "" {
		t.Errorf("%+v, %v", v, err)
	}
	h.forgetSSH("demo")
	if config, err := os.ReadFile(h.ssh.ConfigFile()); err != nil || !strings.Contains(string(config), "Host demo") {
		t.Errorf("%s, %v", config, err)
	}
	if err := errors.Join(os.Remove(path), os.Rename(away, path)); err != nil {
		t.Fatal(err)
	}
	h.inventory.Reload("demo")
	if v, err := h.Get("demo"); err != nil || v.State != backends.Running || v.Problem != nil {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestARecordThatIsDamagedUnderTheDaemon is written again from memory.
func TestARecordThatIsDamagedUnderTheDaemon(t *testing.T) {
	h := open(t, t.TempDir(), images{}, nil, nil)
	h.create(t, "demo")
	whole, err := os.ReadFile(h.layout.Record("demo"))
	if err != nil {
		t.Fatal(err)
	}
	for how, text := range ruins(whole) {
		if err := os.WriteFile(h.layout.Record("demo"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		h.inventory.Reload("demo")
		v, err := h.Get("demo")
		if got, rerr := os.ReadFile(h.layout.Record("demo")); err != nil || v.Problem != nil || rerr != nil || !bytes.Equal(got, whole) {
			t.Errorf("%s: %v, %v, %v: %s", how, v.Problem, err, rerr, got)
		}
	}
}
