package libvirt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
)

// poolShelf keeps the volumes of VMs that are set aside. A volume cannot be renamed, so a
// state disk keeps its name, and a small volume, made in one step, says that it is set
// aside; the VM in its place gets a state disk of another name.
//
//	nixvm-OWNER-NAME.state, .state-2, ...           state disks
//	nixvm-OWNER-NAME.note-KEY                       JSON: what libvirtd knew of the VM
//	nixvm-OWNER-NAME.shelf-KEY.STATE.UUID.SINCE.BACKEND
//
// STATE is the end of the state disk's name, SINCE are seconds since 1970, and BACKEND is
// the one whose VM it was, for pools that several see.
type poolShelf struct{ s *poolStorage }

func (s *poolStorage) shelf() shelves { return poolShelf{s} }

// aside is what the name of a volume says of a VM that is set aside.
type aside struct {
	volume     string
	vm         backends.Ref
	key, state string
	since      time.Time
	backend    string
}

// asideOf reads the name of a volume.
func (s *poolStorage) asideOf(volume string) (aside, bool) {
	name, ours := s.machineOf(volume)
	if !ours {
		return aside{}, false
	}
	rest, is := strings.CutPrefix(volume, s.prefix(name)+"shelf-")
	parts := strings.SplitN(rest, ".", 5)
	if !is || len(parts) != 5 || backends.CheckShelf(name, parts[0]) != nil {
		return aside{}, false
	}
	seconds, err := strconv.ParseInt(parts[3], 10, 64)
	return aside{
		volume: volume, vm: backends.Ref{Name: name, UUID: parts[2]},
		key: parts[0], state: parts[1], since: time.Unix(seconds, 0), backend: parts[4],
	}, err == nil
}

// noteName is the name of the note on a VM.
func (s *poolStorage) noteName(name, key string) string { return s.prefix(name) + "note-" + key }

// inPlace leaves out of the volumes of a VM what belongs to others that had its name, and
// are set aside.
func (s *poolStorage) inPlace(volumes []string) []string {
	away := map[string]bool{}
	for _, v := range volumes {
		if a, is := s.asideOf(v); is {
			away[v], away[s.prefix(a.vm.Name)+a.state], away[s.noteName(a.vm.Name, a.key)] = true, true, true
		}
	}
	return slices.DeleteFunc(slices.Clone(volumes), func(v string) bool { return away[v] })
}

// stateIn is the name of the state disk among the volumes of a VM; empty = none.
func (s *poolStorage) stateIn(name string, volumes []string) string {
	plain := s.prefix(name) + "state"
	for _, v := range s.inPlace(volumes) {
		if v == plain || strings.HasPrefix(v, plain+"-") {
			return v
		}
	}
	return ""
}

// freeState is a name for a new state disk.
func (s *poolStorage) freeState(name string, volumes []string) string {
	plain := s.prefix(name) + "state"
	free := plain
	for n := 2; slices.Contains(volumes, free); n++ {
		free = plain + "-" + strconv.Itoa(n)
	}
	return free
}

// find returns those that are set aside under a name, and a key unless it is empty.
func (l poolShelf) find(ctx context.Context, name, key string) ([]aside, error) {
	prefix := l.s.prefix(name)
	all, err := l.s.of(ctx, prefix)
	var found []aside
	for _, v := range all {
		if a, is := l.s.asideOf(v); is && a.backend == l.s.b.config.Name && (key == "" || a.key == key) {
			found = append(found, a)
		}
	}
	return found, err
}

func (l poolShelf) has(ctx context.Context, ref backends.Ref, key string) (bool, error) {
	found, err := l.find(ctx, ref.Name, key)
	return slices.ContainsFunc(found, func(a aside) bool { return ref.Is(a.vm.UUID) }), err
}

func (l poolShelf) taken(ctx context.Context, name, key string) (bool, error) {
	found, err := l.find(ctx, name, key)
	return len(found) > 0, err
}

func (l poolShelf) read(ctx context.Context, name, key string) (k shelved, err error) {
	p, err := l.s.lookup(ctx)
	if hasCode(err, golibvirt.ErrNoStoragePool) {
		return k, fs.ErrNotExist
	}
	if err != nil {
		return k, err
	}
	v, ok, err := l.s.volume(ctx, p, l.s.noteName(name, key))
	if err == nil && !ok {
		err = fs.ErrNotExist
	}
	if err != nil {
		return k, err
	}
	size, err := l.s.capacity(ctx, v)
	if err != nil {
		return k, err
	}
	content, err := l.s.fetch(ctx, v, size)
	if err == nil {
		err = json.Unmarshal(bytes.TrimRight(content, "\x00"), &k)
	}
	if err != nil {
		err = fmt.Errorf("the note on VM %s: %w", name, err)
	}
	return k, err
}

// write also notes the identity medium, whose name the next VM needs.
func (l poolShelf) write(ctx context.Context, name, key string, k shelved) error {
	p, err := l.s.pool(ctx, nil)
	if err != nil {
		return err
	}
	medium, ok, err := l.s.volume(ctx, p, l.s.prefix(name)+"identity")
	if err == nil && ok {
		var size int64
		if size, err = l.s.capacity(ctx, medium); err == nil {
			k.Identity, err = l.s.fetch(ctx, medium, size)
		}
	}
	if err != nil {
		return err
	}
	content, err := json.Marshal(k)
	if err == nil {
		_, err = l.s.put(ctx, p, l.s.noteName(name, key), content)
	}
	return err
}

func (l poolShelf) put(ctx context.Context, ref backends.Ref, key string) error {
	there, err := l.has(ctx, ref, key)
	if err != nil {
		return err
	}
	if !there {
		if err := l.mark(ctx, ref.Name, key); err != nil {
			return err
		}
	}
	return l.s.remove(ctx, ref.Name) // the identity medium, and whose VM it is
}

// mark makes the volume that says that a VM is set aside.
func (l poolShelf) mark(ctx context.Context, name, key string) error {
	k, err := l.read(ctx, name, key)
	if err != nil {
		return err
	}
	p, err := l.s.pool(ctx, nil)
	if err != nil {
		return err
	}
	volumes, err := l.s.volumes(ctx, p, l.s.prefix(name))
	if err != nil {
		return err
	}
	state := l.s.stateIn(name, volumes)
	if state == "" {
		return fmt.Errorf("the pool %s has no state disk of %s", l.s.name, name)
	}
	ending := strings.TrimPrefix(state, l.s.prefix(name))
	mark := fmt.Sprintf("%sshelf-%s.%s.%s.%d.%s", l.s.prefix(name), key, ending, k.uuid(), time.Now().Unix(), l.s.b.config.Name)
	_, err = l.s.makeVolume(ctx, p, mark, "raw", 512, nil)
	return err
}

func (l poolShelf) take(ctx context.Context, name, key string) error {
	taken, err := l.s.exists(ctx, name)
	if err == nil && taken {
		err = refusal.Exists(name)
	}
	if err != nil {
		return err
	}
	return l.dropAll(ctx, name, key, func(a aside) []string { return []string{a.volume} })
}

// dropAll removes volumes of all that are set aside under a name and a key.
func (l poolShelf) dropAll(ctx context.Context, name, key string, volumes func(aside) []string) error {
	found, err := l.find(ctx, name, key)
	if err != nil || len(found) == 0 {
		return err
	}
	p, err := l.s.pool(ctx, nil)
	for _, a := range found {
		for _, v := range volumes(a) {
			if err == nil {
				err = l.s.dropWritten(ctx, p, v)
			}
		}
	}
	return err
}

// restore writes the identity medium, as the VM was started with.
func (l poolShelf) restore(ctx context.Context, name string, k shelved) error {
	p, err := l.s.pool(ctx, nil)
	if err == nil {
		err = l.s.markHome(ctx, p, name, l.s.b.config.Name)
	}
	if err == nil && len(k.Identity) > 0 {
		_, err = l.s.put(ctx, p, l.s.prefix(name)+"identity", k.Identity)
	}
	return err
}

func (l poolShelf) forget(ctx context.Context, name, key string) error {
	p, err := l.s.pool(ctx, nil)
	if err == nil {
		err = l.s.dropVolume(ctx, p, l.s.noteName(name, key))
	}
	return err
}

// drop removes the volume that says what is set aside last, so that it can be repeated.
func (l poolShelf) drop(ctx context.Context, ref backends.Ref, key string) error {
	if there, err := l.has(ctx, ref, key); err != nil || !there {
		return err
	}
	return l.dropAll(ctx, ref.Name, key, func(a aside) []string {
		return []string{l.s.prefix(a.vm.Name) + a.state, l.s.noteName(a.vm.Name, a.key), a.volume}
	})
}

func (l poolShelf) list(ctx context.Context) ([]backends.ShelvedVM, error) {
	found, err := l.find(ctx, "", "")
	if err != nil || len(found) == 0 {
		return nil, err
	}
	p, err := l.s.pool(ctx, nil)
	if err != nil {
		return nil, err
	}
	var all []backends.ShelvedVM
	for _, a := range found {
		one := backends.ShelvedVM{VM: a.vm, Key: a.key, Since: a.since}
		v, ok, err := l.s.volume(ctx, p, l.s.prefix(a.vm.Name)+a.state)
		if err == nil && ok {
			one.Bytes, err = l.s.allocation(ctx, v)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return all, err
		}
		all = append(all, one)
	}
	return all, nil
}

// undefine takes the UEFI variables away, which libvirt keeps under the name of the
// domain: the VM in its place gets new ones, and so does this one when it is back.
func (l poolShelf) undefine() golibvirt.DomainUndefineFlagsValues { return undefineAll }
