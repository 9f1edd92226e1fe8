package fake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/internal/problem"
)

// task is a request on its way. Its file is written before it acts and when it has
// ended.
type task struct {
	Number  int
	ID      string
	Request request
	Ended   bool
	Failure *problem.Error // nil: it has succeeded

	once    sync.Once
	stopped chan struct{}
	done    chan struct{}
}

// result is the error of a task that has ended.
func (t *task) result() error {
	if t.Failure == nil {
		return nil
	}
	return problem.New(t.Failure.Code, "%s (task %s)", t.Failure.Message, t.ID).WithHint("%s", t.Failure.Hint)
}

// stop ends a task that has not acted yet.
func (t *task) stop() { t.once.Do(func() { close(t.stopped) }) }

func (c *cluster) taskFile(t *task) string {
	return filepath.Join(c.node.dir, "tasks", fmt.Sprintf("%08d", t.Number))
}

func (c *cluster) write(t *task) error {
	content, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return atomicfile.Write(c.taskFile(t), content, 0o600)
}

// resume takes up the tasks that an earlier process has left.
func (c *cluster) resume() {
	files, _ := filepath.Glob(filepath.Join(c.node.dir, "tasks", "*"))
	slices.Sort(files)
	for _, file := range files {
		t := &task{}
		content, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(content, t)
		}
		if c.last = max(c.last, t.Number); err != nil || t.Ended {
			_ = os.Remove(file)
			continue
		}
		c.launch(t)
	}
}

// submit puts a task on record and lets it go. A guest that is to be made is there
// from now on, locked.
func (c *cluster) submit(ctx context.Context, r request) (*task, error) {
	if err := c.trip(ctx); err != nil {
		return nil, err
	}
	t, err := c.record(r)
	if err != nil {
		return nil, err
	}
	if c.Begun != nil {
		c.Begun(r.Method, r.Name)
	}
	if c.LoseAnswer != nil && c.LoseAnswer(r.Method, r.Name) {
		return nil, errAnswerLost
	}
	return t, nil
}

func (c *cluster) record(r request) (*task, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := os.MkdirAll(filepath.Join(c.node.dir, "tasks"), 0o700); err != nil {
		return nil, err
	}
	if r.makes() {
		r.Node = c.firstNode()
		if err := c.node.lock(r, c.Taken); err != nil {
			return nil, err
		}
	}
	if r.Method == "kill" || r.Method == "destroy" {
		for _, other := range c.tasks {
			if other.Request.Name == r.Name && r.ref().Is(other.Request.UUID) {
				other.stop() // unless it has acted
			}
		}
	}
	t := &task{Number: c.last + 1, Request: r}
	t.ID = fmt.Sprintf("UPID:fake:%08X:%s:%s:", t.Number, r.Method, r.Name)
	if err := c.write(t); err != nil {
		return nil, errors.Join(err, c.node.unlock(r.Name))
	}
	c.last++
	c.launch(t)
	return t, nil
}

// launch runs a task behind those that are about the same guest.
func (c *cluster) launch(t *task) {
	t.stopped, t.done = make(chan struct{}), make(chan struct{})
	var before []*task
	for _, other := range c.tasks {
		if other.Request.touches(t.Request) {
			before = append(before, other)
		}
	}
	c.tasks = append(c.tasks, t)
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		for _, other := range before {
			select {
			case <-other.done:
			case <-c.ctx.Done():
				return // the next process takes it up
			}
		}
		c.run(t)
	}()
}

// touches reports whether two requests are about one guest.
func (r request) touches(other request) bool {
	return r.Name == other.Name || r.From != nil && r.From.VM.Name == other.Name || other.From != nil && other.From.VM.Name == r.Name
}

func (c *cluster) run(t *task) {
	timer := time.NewTimer(c.Delay)
	defer timer.Stop()
	var err error
	select {
	case <-c.ctx.Done():
		return // the next process takes it up
	case <-t.stopped:
		err = problem.New(problem.Cancelled, "it was stopped before it acted")
	case <-timer.C:
		err = c.node.apply(t.Request)
	}
	if err != nil {
		t.Failure = problem.From(err)
		if t.Request.makes() {
			err = c.node.unlock(t.Request.Name)
		}
	}
	t.Ended = true
	if werr := errors.Join(err, c.write(t)); werr != nil && t.Failure == nil {
		t.Failure = problem.From(werr)
	}
	close(t.done)
}

// lock makes the file of a guest that a task is about to make, with the number that it
// has from now on. taken are the numbers of others.
func (n *node) lock(r request, taken func(vmid int) bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	g, err := n.load(r.Name)
	if err != nil {
		return err
	}
	if g != nil {
		return problem.New(problem.VMExists, "there is a VM %s", r.Name).WithHint("destroy it first")
	}
	vmid, err := n.allocate(r.ref(), r.Spec.VMID, taken)
	if err != nil {
		return err
	}
	r.Spec.VMID = vmid // the task has it on record
	return n.save(r.Name, &guest{Lock: r.Method, Kept: backends.Kept{UUID: r.UUID}, VMID: vmid})
}

// unlock removes a guest that was not made.
func (n *node) unlock(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	g, err := n.load(name)
	if err != nil || g == nil || g.Lock == "" {
		return err
	}
	return atomicfile.Remove(n.path(name))
}
