// Package ctxlock has locks whose waits can be cancelled. They protect state that is held
// during a request to a hypervisor, which may never answer.
//
// The core calls no two mutating methods at once for the same VM, but Kill and
// Destroy get through at any time (see backends.Backend), and backends work on their
// VMs by themselves: they take over what runs, and thaw what a crash left frozen. A
// backend holds the lock of a VM for each of these; Kill, and the first step of
// Destroy, do without.
package ctxlock

import (
	"context"
	"sync"
)

// Mutex is a lock. The zero value is ready, and must not be copied after its first use.
type Mutex struct {
	once  sync.Once
	token chan struct{}
}

func (m *Mutex) init() { m.once.Do(func() { m.token = make(chan struct{}, 1) }) }

// Lock waits for the lock, and returns the cause of ctx when that ends before. After
// nil Unlock must be called.
func (m *Mutex) Lock(ctx context.Context) error {
	m.init()
	select {
	case m.token <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Unlock gives the lock back. It panics when nothing holds it.
func (m *Mutex) Unlock() {
	m.init()
	select {
	case <-m.token:
	default:
		panic("ctxlock: unlock of an unlocked mutex")
	}
}

// ByName is one Mutex for each name. The zero value is ready. A name takes memory
// only while its lock is held or waited for.
type ByName struct {
	mu    sync.Mutex
	locks map[string]*counted
}

// counted is a Mutex and the number of those who hold it or wait for it.
type counted struct {
	Mutex
	users int // guarded by ByName.mu
}

// Lock waits for the lock of a name. After nil unlock must be called, once.
func (b *ByName) Lock(ctx context.Context, name string) (unlock func(), err error) {
	b.mu.Lock()
	one := b.locks[name]
	if one == nil {
		if b.locks == nil {
			b.locks = map[string]*counted{}
		}
		one = &counted{}
		b.locks[name] = one
	}
	one.users++
	b.mu.Unlock()
	if err := one.Lock(ctx); err != nil {
		b.leave(name, one)
		return nil, err
	}
	return func() {
		one.Unlock()
		b.leave(name, one)
	}, nil
}

func (b *ByName) leave(name string, one *counted) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(b.locks, name)
	}
}
