package machine

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
)

// ownOnly are the files that nixos-vm-template does not have. In a directory of
// its they are not looked at: they would say what the VM may reach.
var ownOnly = []string{BackendFile, ImageFile, AutostartFile, RemoteForwardsFile, AgentFile}

// ReadAdopted reads a machine directory of nixos-vm-template, which may be anywhere and
// stays as it is, and checks it. The files are for Unarchive. None of them may be a link:
// the directory is not trusted, and what they hold goes into a guest. The problems are
// machine.invalid with the file and the line.
func ReadAdopted(dir, name string) (Machine, Archived, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Machine{}, Archived{}, err
	}
	for _, e := range entries {
		if known(e.Name()) && e.Type()&fs.ModeSymlink != 0 {
			f := &Fault{
				File: filepath.Join(dir, e.Name()), Reason: "this is a link",
				Hint: "replace it with a copy of the file that it leads to",
			}
			return Machine{}, Archived{}, f.invalid()
		}
	}
	c, err := readDir(dir)
	if err != nil {
		return Machine{}, Archived{}, asProblem(err, (*Fault).invalid)
	}
	for _, file := range ownOnly {
		delete(c, file)
	}
	m, err := c.parse(name, func(file string) string { return filepath.Join(dir, file) })
	if err != nil {
		return Machine{}, Archived{}, asProblem(err, (*Fault).invalid)
	}
	return m, Archived{Machine: name, Files: maps.Clone(c), Foreign: true}, nil
}
