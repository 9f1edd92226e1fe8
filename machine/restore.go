package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/damaged"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/machine/internal/isofs"
)

// Known is what is known of a machine besides its directory, because its VM was
// made from it.
type Known struct {
	UUID, MAC string            // of the VM; empty = not known
	Medium    []byte            // its identity medium; nil = there is none
	Settings  map[string]string // content of files of settings, by name
}

// Restored is a file that was written again.
type Restored struct {
	File string // its name
	Kept string // where the damaged one is kept; empty = it was missing
}

// once are the files that a machine has from its creation on.
var once = []string{HostnameFile, MachineIDFile, UUIDFile, MACFile, HostKeyFile}

// Restore writes the files of a machine again that are damaged, with what its VM
// has: the guest stays the machine that it is. Damaged is a file that has to be
// there and says nothing valid. One that a person writes is damaged if it holds
// zeros, if it is cut off, or, when it is one of k.Settings, if it holds nothing at
// all: the rest may be a slip of the pen, which is told and not overwritten. One that
// cannot be opened, or is a link that leads nowhere now, is not known to be damaged, and
// the others are not because of it. Damaged files are kept beside the new ones. A
// machine in order is left alone.
func (s *Store) Restore(name string, k Known) ([]Restored, error) {
	if err := names.Machine(name); err != nil {
		return nil, err
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	closed := map[string]bool{} // those whose content is unknown
	have, err := readEach(s.Dir(name), func(file string, err error) error {
		var fault *Fault
		if !errors.As(err, &fault) {
			return err
		}
		closed[file] = isClosed(filepath.Join(s.Dir(name), file))
		return nil
	})
	if err != nil {
		return nil, err
	}
	want := k.files()
	var all []Restored
	for _, file := range slices.Sorted(maps.Keys(want)) {
		if closed[file] || !have.damaged(file, want[file], k.Settings) {
			continue
		}
		if err := (content{file: want[file]}).valid(name); err != nil {
			continue // what the VM has is damaged too
		}
		path := filepath.Join(s.Dir(name), file)
		kept, err := damaged.SetAside(path)
		if err != nil {
			return all, err
		}
		if err := atomicfile.Write(path, want[file], fileMode(file)); err != nil {
			return all, writeProblem("restore "+path, err)
		}
		all = append(all, Restored{File: file, Kept: kept})
	}
	return all, nil
}

// isClosed tells a file that was not opened from one that is no file of ours: its
// content may be in order. So may be that of a link, whose target may come back.
func isClosed(path string) bool {
	if fi, err := os.Lstat(path); err != nil || fi.Mode()&fs.ModeSymlink != 0 {
		return true
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return true
	}
	f.Close()
	return false
}

// Suspect reports whether a machine has a file of settings without any content,
// which is read as the default and may be what is left of another value. Restore
// knows more; this is cheap.
func (s *Store) Suspect(name string) bool {
	for file := range SettingsOf(nil, Immutable, ImageNixOS, "", DefaultDiskBytes) {
		if fi, err := os.Stat(filepath.Join(s.Dir(name), file)); err == nil && fi.Size() == 0 {
			return true
		}
	}
	return false
}

// files are the contents that are known.
func (k Known) files() content {
	c := content{}
	if files, err := isofs.Read(k.Medium); err == nil && proven(files) {
		for _, f := range files {
			if known(f.Name) {
				c[f.Name] = f.Data
			}
		}
	}
	for file, value := range k.Settings {
		c[file] = []byte(value)
	}
	for file, value := range map[string]string{UUIDFile: k.UUID, MACFile: k.MAC} {
		if value != "" {
			c[file] = []byte(value + "\n")
		}
	}
	return c
}

// proven reports whether the files of a medium are those that it was made with.
// One of an earlier version has no digests.
func proven(files []isofs.File) bool {
	var found []byte
	var others []isofs.File
	for _, f := range files {
		switch f.Name {
		case SumsFile:
			found = f.Data
		case GenerationFile:
		default:
			others = append(others, f)
		}
	}
	return found == nil || bytes.Equal(found, sums(others))
}

// valid parses the files alone.
func (c content) valid(name string) error {
	_, err := c.parse(name, func(file string) string { return file })
	return err
}

// damaged tells damage from what a person may have written, or left out. want is
// what the VM has.
func (c content) damaged(file string, want []byte, settings map[string]string) bool {
	data, there := c[file]
	if slices.Contains(once, file) {
		return len(bytes.TrimSpace(data)) == 0 || bytes.IndexByte(data, 0) >= 0 || content{file: data}.valid("x") != nil
	}
	if !there {
		return false
	}
	_, ours := settings[file]
	return bytes.IndexByte(data, 0) >= 0 || ours && len(data) == 0 || cutOff(data, want) && content{file: data}.valid("x") != nil
}

// cutOff reports whether a file is the beginning of what the VM has, comments aside.
func cutOff(data, want []byte) bool {
	lines, err := text{data: data}.lines()
	if err != nil {
		return false
	}
	var rest []string
	for _, l := range lines {
		rest = append(rest, l.text)
	}
	begin := strings.Join(rest, "\n")
	return len(begin) < len(want) && strings.HasPrefix(string(want), begin)
}

// Generation reads the generation of an identity medium.
func Generation(medium []byte) (uint64, error) {
	files, err := isofs.Read(medium)
	if err != nil {
		return 0, fmt.Errorf("the identity medium: %w", err)
	}
	for _, f := range files {
		if f.Name == GenerationFile {
			return strconv.ParseUint(strings.TrimSpace(string(f.Data)), 10, 64)
		}
	}
	return 0, errors.New("the identity medium has no generation")
}

// SettingsOf prints some settings as the files that Known takes: profiles, mode,
// kind of image, backend and, unless 0, the size of the disk in bytes.
func SettingsOf(profiles []string, mode Mode, image, backend string, disk int64) map[string]string {
	files := map[string]string{
		ProfileFile: printProfile(Machine{Profiles: profiles}),
		MutableFile: "false\n",
		ImageFile:   oneLine(image),
		BackendFile: oneLine(backend),
	}
	if text := printMutable(Machine{Mode: mode}); text != "" {
		files[MutableFile] = text
	}
	if disk > 0 {
		files[DiskSizeFile] = oneLine(FormatSize(disk))
	}
	return files
}
