package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
)

// Store is a machines directory. Its methods may be called at once; those that
// change something also exclude other processes.
type Store struct {
	dir string
	mu  sync.Mutex // held while anything is changed
	// step is called before every change to the file system, for tests that
	// crash there. nil does nothing.
	step func(what string)
}

// Broken is an entry of the machines directory that is not a valid machine.
type Broken struct {
	Name    string // the entry's name; untrusted text when Stray
	Dir     string // its path
	Stray   bool   // cannot be a machine at all: a file, or a directory with an invalid name
	File    string // path of the faulty file; empty = the entry as a whole
	Line    int    // from 1; 0 = the file as a whole
	Problem *problem.Error
}

// OpenStore opens, and creates when needed, a machines directory, and removes
// what an interrupted Create or Delete left in it.
func OpenStore(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, writeProblem("create "+abs, err)
	}
	s := &Store{dir: abs}
	return s, s.sweep()
}

// Dir is where the directory of that machine is, or would be. The name must be valid.
func (s *Store) Dir(name string) string { return filepath.Join(s.dir, name) }

// Exists reports whether there is an entry of that name, broken or not.
func (s *Store) Exists(name string) bool {
	_, err := os.Lstat(s.Dir(name))
	return names.Machine(name) == nil && err == nil
}

// List reads all machines, in the order of their names. What is not a valid
// machine is in the second list; hidden entries are in neither. A directory
// that cannot be read at all is one Broken with an empty name.
func (s *Store) List() ([]Machine, []Broken) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, []Broken{s.broken("", err)}
	}
	found := make([]entry, len(entries))
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0)) // reading is system calls, so each processor helps
	for i, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		all.Go(func() error {
			found[i] = s.entry(e)
			return nil
		})
	}
	_ = all.Wait() // none returns an error
	var machines []Machine
	var broken []Broken
	for _, f := range found {
		switch {
		case f.broken != nil:
			broken = append(broken, *f.broken)
		case f.machine != nil:
			machines = append(machines, *f.machine)
		}
	}
	return machines, broken
}

// entry is what one entry of the machines directory is; neither = gone.
type entry struct {
	machine *Machine
	broken  *Broken
}

func (s *Store) entry(e fs.DirEntry) entry {
	if stray := s.stray(e); stray != nil {
		return entry{broken: stray}
	}
	m, err := s.Read(e.Name())
	switch {
	case problem.HasCode(err, problem.MachineNotFound): // deleted since
		return entry{}
	case err != nil:
		b := s.broken(e.Name(), err)
		return entry{broken: &b}
	}
	return entry{machine: &m}
}

// stray describes an entry that cannot be a machine; nil = it may be one.
func (s *Store) stray(e fs.DirEntry) *Broken {
	b := Broken{Name: e.Name(), Dir: filepath.Join(s.dir, e.Name()), Stray: true}
	isDir := e.IsDir()
	if e.Type()&fs.ModeSymlink != 0 { // a machine may live elsewhere
		fi, err := os.Stat(b.Dir)
		isDir = err == nil && fi.IsDir()
	}
	switch err := names.Machine(e.Name()); {
	case !isDir:
		b.Problem = problem.New(problem.MachineBroken, "%s is not a machine: it is not a directory", quote(b.Dir)).
			WithHint("move it elsewhere; nixvm leaves it alone")
	case err != nil:
		b.Problem = problem.From(err)
		b.Problem.Hint = "rename the directory: " + b.Problem.Hint
	default:
		return nil
	}
	return &b
}

func (s *Store) broken(name string, err error) Broken {
	b := Broken{Name: name, Dir: s.Dir(name)}
	var f *Fault
	if errors.As(err, &f) {
		b.File, b.Line = f.File, f.Line
	}
	if b.Problem = problem.From(err); b.Problem.Code == problem.Internal {
		b.Problem = problem.New(problem.MachineBroken, "%w", err).WithHint("check the directory and its permissions")
	}
	return b
}

// Read reads one machine. The problems are machine.name_invalid,
// machine.not_found, and machine.broken with the *Fault as its cause.
func (s *Store) Read(name string) (Machine, error) {
	if err := names.Machine(name); err != nil {
		return Machine{}, err
	}
	m, _, err := s.read(name)
	return m, asProblem(err, (*Fault).broken)
}

func (s *Store) read(name string) (Machine, content, error) {
	dir := s.Dir(name)
	c, err := readDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Lstat(dir); errors.Is(statErr, fs.ErrNotExist) {
			return Machine{}, nil, problem.New(problem.MachineNotFound, "there is no machine %s", name).
				WithHint("`nixvmd list` lists the machines")
		}
	}
	if err != nil {
		var f *Fault
		if errors.As(err, &f) {
			return Machine{}, nil, err
		}
		return Machine{}, nil, &Fault{File: dir, Reason: err.Error(), Hint: "check the directory and its permissions"}
	}
	m, err := c.parse(name, func(file string) string { return filepath.Join(dir, file) })
	if err != nil {
		return Machine{}, nil, err
	}
	m.Dir = dir
	return m, c, nil
}

func (s *Store) at(step string, args ...any) {
	if s.step != nil {
		s.step(fmt.Sprintf(step, args...))
	}
}
