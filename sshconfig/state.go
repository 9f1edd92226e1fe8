package sshconfig

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// memory is what must be known later to leave no trace; it is kept in state.json.
type memory struct {
	Version int `json:"version"`
	// Files by path: what was done around each user configuration.
	Files map[string]fileMemory `json:"files,omitempty"`
}

type fileMemory struct {
	Created     bool     `json:"created,omitempty"`     // there was no such file
	CreatedDirs []string `json:"createdDirs,omitempty"` // nor these directories, outermost first
	Backup      string   `json:"backup,omitempty"`      // copy from before the first change
}

// errDamaged is a file of ours that Repair makes again.
var errDamaged = errors.New("it is empty, truncated or overwritten")

// backupPattern is for the names that backUp gives.
const backupPattern = "user-config-*.bak"

func (c *Config) statePath() string { return filepath.Join(c.dir, "state.json") }

func (c *Config) loadMemory() (memory, error) {
	m := memory{Version: 1, Files: map[string]fileMemory{}}
	data, err := os.ReadFile(c.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	err = json.Unmarshal(data, &m)
	if m.Version > 1 { // first: its fields may have other types
		return m, problem.New(problem.ConfigInvalid, "%s was written by a newer nixvmd", c.statePath()).WithHint("use that version")
	}
	if err != nil {
		return m, problem.New(problem.ConfigInvalid, "%s cannot be read: %w", c.statePath(), errDamaged).
			WithHint("restart nixvmd: it recreates the file")
	}
	if m.Files == nil {
		m.Files = map[string]fileMemory{}
	}
	return m, nil
}

func (c *Config) saveMemory(m memory) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(c.statePath(), append(data, '\n'), 0o600)
}

// backUp copies the user's file before its first change ever, and returns the
// copy's path.
func (c *Config) backUp(u userFile) (string, error) {
	path := filepath.Join(c.dir, "user-config-"+time.Now().Format("2006-01-02T150405")+".bak")
	return path, atomicfile.Write(path, u.data, 0o600)
}

// prepareUser does what must happen before the user's file is first written:
// remember that it did not exist, or copy it.
func (c *Config) prepareUser(u userFile, m memory) (string, error) {
	fm := m.Files[u.path]
	if u.info == nil {
		fm.Created = true
		fm.CreatedDirs = append(fm.CreatedDirs, missingDirs(filepath.Dir(u.path))...)
	} else if fm.Backup == "" && !fm.Created {
		var err error
		if fm.Backup, err = c.backUp(u); err != nil {
			return "", err
		}
	} else {
		return fm.Backup, nil
	}
	m.Files[u.path] = fm
	if err := c.saveMemory(m); err != nil {
		return "", err
	}
	return fm.Backup, os.MkdirAll(filepath.Dir(u.path), 0o700)
}

// missingDirs lists dir and its parents that do not exist, outermost first.
func missingDirs(dir string) []string {
	if _, err := os.Lstat(dir); err == nil || dir == filepath.Dir(dir) {
		return nil
	}
	return append(missingDirs(filepath.Dir(dir)), dir)
}

// unverifiedPath lists aliases, one a line, that were written and not verified
// yet. The file exists during an Apply, and after one that was killed.
func (c *Config) unverifiedPath() string { return filepath.Join(c.dir, "unverified") }

func (c *Config) unverified() map[string]bool {
	left := map[string]bool{}
	data, err := os.ReadFile(c.unverifiedPath())
	if err != nil {
		return left
	}
	for _, alias := range strings.Fields(string(data)) {
		left[alias] = true
	}
	return left
}

func (c *Config) markUnverified(blocks []block) error {
	if len(blocks) == 0 {
		return nil
	}
	var aliases strings.Builder
	for _, b := range blocks {
		aliases.WriteString(b.alias + "\n")
	}
	return atomicfile.Write(c.unverifiedPath(), []byte(aliases.String()), 0o600)
}

// clearUnverified is not made durable: a mark that comes back costs one more
// verification, and a sync costs every Apply.
func (c *Config) clearUnverified() error {
	if err := os.Remove(c.unverifiedPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
