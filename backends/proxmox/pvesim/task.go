package pvesim

import (
	"fmt"
	"strings"
	"time"
)

// tasks are those of the cluster, by UPID.
type tasks struct {
	byUPID map[string]*task
	order  []*task
	pid    int
	start  time.Time
	held   map[string]chan struct{} // by type
}

func newTasks() *tasks {
	return &tasks{byUPID: map[string]*task{}, pid: 0x1000, start: time.Now(), held: map[string]chan struct{}{}}
}

// A task runs in a goroutine, and holds the mutex like a handler.
type task struct {
	upid, node, kind, id string
	who                  string
	pid, pstart          int
	started, ended       time.Time
	done                 bool
	status               string
	log                  []string
	warnings             int
	stopped              bool
	cancelled            chan struct{}
	fault                *Fault
	undo                 func() // what was done before the task, where it fails at once
	unseen               bool   // not yet found by status and log
}

// run starts a task and returns its UPID; the work is done in the background.
func (s *Server) run(c *call, node, kind, id string, work func(t *task) error) string {
	return s.startTask(c.who.id, node, kind, id, c.fault, work).upid
}

func (s *Server) startTask(who, node, kind, id string, fault *Fault, work func(t *task) error) *task {
	s.tasks.pid++
	now := time.Now()
	t := &task{cancelled: make(chan struct{}), fault: fault, unseen: fault.is(TaskUnseen), node: node, kind: kind, id: id, who: who, pid: s.tasks.pid, started: now, pstart: 0x20000 + int(now.Sub(s.tasks.start)/(10*time.Millisecond))}
	t.upid = fmt.Sprintf("UPID:%s:%08X:%08X:%08X:%s:%s:%s:", node, t.pid, t.pstart, now.Unix(), kind, id, who) // facts 7, UPID
	s.tasks.byUPID[t.upid] = t
	s.tasks.order = append(s.tasks.order, t)
	s.wg.Go(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waitHeld(kind)
		err := t.beforeTask()
		switch {
		case err == nil && s.ctx.Err() == nil && !t.stopped:
			err = work(t)
		case t.undo != nil:
			t.undo()
		}
		s.endTask(t, err)
	})
	return t
}

// waitHeld waits while tests hold the tasks of this type.
func (s *Server) waitHeld(kind string) {
	for {
		held := s.tasks.held[kind]
		if held == nil || s.ctx.Err() != nil {
			return
		}
		s.mu.Unlock()
		select {
		case <-held:
		case <-s.ctx.Done():
		}
		s.mu.Lock()
	}
}

// endTask writes the last line of the log (facts 7, Task).
func (s *Server) endTask(t *task, err error) {
	t.done, t.ended = true, time.Now()
	switch {
	case t.stopped:
		t.status = "unexpected status" // facts 7: a shutdown overruled by stop
		return
	case err != nil:
		// Lines become one (recorded 560).
		t.status = strings.Join(strings.Split(strings.TrimRight(err.Error(), "\n"), "\n"), " ")
		t.log = append(t.log, "TASK ERROR: "+t.status)
	case t.warnings > 0:
		t.status = fmt.Sprintf("WARNINGS: %d", t.warnings)
		t.log = append(t.log, "TASK WARNINGS: "+fmt.Sprint(t.warnings))
	default:
		t.status = "OK"
		t.log = append(t.log, "TASK OK")
	}
}

func (t *task) logf(format string, args ...any) { t.log = append(t.log, fmt.Sprintf(format, args...)) }

// entry is what the list and the status have in common.
func (t *task) entry() map[string]any {
	user, name, isToken := strings.Cut(t.who, "!")
	entry := map[string]any{
		"upid": t.upid, "node": t.node, "type": t.kind, "id": t.id, "user": user, "pid": t.pid, "pstart": t.pstart, "starttime": t.started.Unix(),
	}
	if isToken {
		entry["tokenid"] = name
	}
	return entry
}

// cancel ends a task at its next wait.
func (t *task) cancel() {
	if !t.stopped {
		t.stopped = true
		close(t.cancelled)
	}
}
