package vm

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/operation"
)

// freesSpace are the verbs that a person turns to when the disk is full.
var freesSpace = map[string]func(h house) (api.Operation, error){
	"kill":            func(h house) (api.Operation, error) { return h.Kill(background, "demo", "t") },
	"stop":            func(h house) (api.Operation, error) { return h.Stop(background, "demo", 0, "t") },
	"delete-snapshot": func(h house) (api.Operation, error) { return h.DeleteSnapshot(background, "demo", "s1", "t") },
	"destroy":         func(h house) (api.Operation, error) { return h.Destroy(background, "demo", "demo", "t") },
	"purge":           func(h house) (api.Operation, error) { return h.Purge(background, "demo", "demo", "t") },
}

// reserved is the child that has the room for a reserve.
const reserved = "reserve"

// fullChild is a house on a small file system of its own, which it fills to the
// last byte before it does what kind says.
func fullChild(home, kind string) error {
	size := "size=4m"
	if kind == reserved {
		size = "size=32m"
	}
	if err := unix.Mount("tmpfs", home, "tmpfs", 0, size); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	// The VMs are elsewhere: what a backend needs is for its own tests.
	if err := os.Symlink(os.Getenv("NIXVM_TEST_FULL_BACKEND"), filepath.Join(home, "fake")); err != nil {
		return err
	}
	var h house
	var room int64 // on the disk, when a snapshot is deleted
	h, err := openHouse(home, images{}, func(method, _ string) error {
		if method == "delete-snapshot" {
			room, _ = h.freeSpace()
		}
		return nil
	}, nil)
	if err != nil {
		return err
	}
	defer h.Close()
	end := func(op api.Operation, err error) error {
		if err == nil {
			op, err = h.Wait(background, op.ID)
		}
		if err == nil && op.State != api.OpSucceeded {
			err = fmt.Errorf("%s is %s: %w", op.Kind, op.State, op.Problem)
		}
		return err
	}
	for _, name := range []string{"demo", "other"} { // the second keeps an SSH configuration to be written
		if err := end(h.Create(background, api.CreateParams{Name: name})); err != nil {
			return err
		}
	}
	if err := end(h.CreateSnapshot(background, "demo", "s1", "", "t")); err != nil {
		return err
	}
	if err := fill(filepath.Join(home, "dd")); err != nil {
		return err
	}
	if _, err := h.CreateSnapshot(background, "demo", "s2", "", "t"); !problem.NoSpace(err) {
		return fmt.Errorf("the disk is not full: %w", err)
	}
	if kind == reserved {
		if err := end(freesSpace["delete-snapshot"](h)); err != nil || room < reserveSize/2 {
			return fmt.Errorf("%d bytes were free: %w", room, err)
		}
		if err := os.Remove(filepath.Join(home, "dd")); err != nil {
			return err
		}
		if err := end(freesSpace["kill"](h)); err != nil {
			return err
		}
		fi, err := os.Stat(h.layout.Reserve())
		if err != nil || fi.Size() != reserveSize {
			return fmt.Errorf("nothing is kept back afterwards: %v, %w", fi, err)
		}
		return nil
	}
	if err := end(freesSpace[kind](h)); err != nil {
		return err
	}
	return fullOutcome(h, kind)
}

// fill writes until there is no space left.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 16; size > 0; {
		n, err := f.Write(make([]byte, size))
		switch {
		case problem.NoSpace(err) && n == 0:
			size /= 2
		case err != nil && !problem.NoSpace(err):
			return err
		}
	}
	return nil
}

func fullOutcome(h house, kind string) error {
	st, err := h.fake.Status(background, backends.Named("demo"))
	if err != nil {
		return err
	}
	config, err := os.ReadFile(h.ssh.ConfigFile())
	if err != nil {
		return err
	}
	named := strings.Contains(string(config), "Host demo")
	switch kind {
	case "delete-snapshot":
		list, err := h.Snapshots(background, "demo")
		if err != nil || len(list) > 0 || !named {
			return fmt.Errorf("snapshots: %v, %w", list, err)
		}
	case "kill", "stop":
		if st.State != backends.Stopped || !named {
			return fmt.Errorf("it is %s", st.State)
		}
	default:
		if st.State != backends.Absent || len(h.List()) != 1 || h.machines.Exists("demo") {
			return fmt.Errorf("left: %v, %+v", st.State, h.List())
		}
		if named { // the SSH names go as well: what was removed has made room
			return errors.New("its SSH names are left")
		}
	}
	left, bad, err := operation.ReadJournals(h.layout.Journal(), nil)
	if err != nil || len(left)+len(bad) > 0 {
		return fmt.Errorf("journals left: %v %v %w", left, bad, err)
	}
	return nil
}

func TestOnAFullDiskWhatFreesSpaceWorks(t *testing.T) {
	for _, kind := range append(slices.Collect(maps.Keys(freesSpace)), reserved) {
		t.Run(kind, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(slices.Clone(os.Environ()), "NIXVM_TEST_FULL_HOME="+shortDir(t), "NIXVM_TEST_FULL_KIND="+kind, "NIXVM_TEST_FULL_BACKEND="+shortDir(t))
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
			}
			out, err := cmd.CombinedOutput()
			if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
				t.Skipf("a file system of its own cannot be made here: %v", err)
			}
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
