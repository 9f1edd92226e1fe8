package pve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nixvm/nixvm/internal/sleep"
)

// UPID names a task: "UPID:node:pid:pstart:starttime:type:id:user:".
type UPID string

// upidForm is that of pve-common's UPID.pm: node, start time, type, id, user.
var upidForm = regexp.MustCompile(`^UPID:([a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?):[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:([0-9A-Fa-f]{8}):([^:\s/]+):([^:\s/]*):([^:\s/]+):$`)

// Valid reports whether it has the form of a UPID.
func (u UPID) Valid() bool { return upidForm.MatchString(string(u)) }

// part is one field of a UPID; empty for what is none.
func (u UPID) part(i int) string {
	m := upidForm.FindStringSubmatch(string(u))
	if m == nil {
		return ""
	}
	return m[i]
}

// Node that runs the task.
func (u UPID) Node() string { return u.part(1) }

// User who has begun it: that of a token is its ID.
func (u UPID) User() string { return u.part(5) }

// Type of the task, e.g. "qmstart".
func (u UPID) Type() string { return u.part(3) }

// TaskError is a task that failed.
type TaskError struct {
	UPID UPID
	Exit string   // why, in the server's words
	Log  []string // its last lines; may be empty
}

func (e *TaskError) Error() string { return fmt.Sprintf("task %s: %s", e.UPID.Type(), e.Exit) }

// Succeeded reports whether the exit status of a task is a success: "OK", or warnings,
// which Proxmox VE counts as one (UPID.pm, status_is_error).
func Succeeded(exit string) bool { return exit == "OK" || warnings.MatchString(exit) }

var warnings = regexp.MustCompile(`^WARNINGS: \d+$`)

// The pauses between two questions for a task, and how long a task may be unknown right
// after it was begun, or the server be silent, before a wait ends.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
	unknownLimit = 15 * time.Second
	silentLimit  = 2 * time.Minute
	logLines     = 500 // of one question
	lastLines    = 8   // of an error
)

// Wait asks for a task until it has ended. Lines of its log go to log as they come, which
// may be nil. A failure is a *TaskError with the last lines of the log. When ctx ends, the
// task goes on.
func (c *Client) Wait(ctx context.Context, upid UPID, log func(line string)) error {
	if !upid.Valid() {
		return fmt.Errorf("the server answers %.80q, which is no UPID", string(upid))
	}
	began, heard, read := time.Now(), time.Now(), 0
	for pause := firstPause; ; pause = min(pause*3/2, longestPause) {
		var state struct{ Status, Exitstatus string }
		err := c.Get(ctx, Path("nodes", upid.Node(), "tasks", string(upid), "status"), nil, &state)
		switch {
		case err == nil:
			heard = time.Now()
			if log != nil && (state.Status == "stopped" || pause >= time.Second) {
				read = c.passLog(ctx, upid, read, log)
			}
			if state.Status == "stopped" {
				return c.outcome(ctx, upid, state.Exitstatus)
			}
		case NoTask(err) && time.Since(began) < unknownLimit: // the worker has not written its file yet
		case Lost(err) && time.Since(heard) < silentLimit:
		default:
			return fmt.Errorf("wait for task %s: %w", upid, err)
		}
		if !sleep.For(ctx, pause) {
			return context.Cause(ctx)
		}
	}
}

// Settle waits until a task that was begun long ago does not run, whether it has failed or
// not. One that the server does not know has ended: it keeps only some thousand.
func (c *Client) Settle(ctx context.Context, upid UPID) error {
	err := c.Get(ctx, Path("nodes", upid.Node(), "tasks", string(upid), "status"), nil, nil)
	if NoTask(err) {
		return nil
	}
	var failed *TaskError
	if err = c.Wait(ctx, upid, nil); errors.As(err, &failed) {
		return nil
	}
	return err
}

// outcome is nil for a success.
func (c *Client) outcome(ctx context.Context, upid UPID, exit string) error {
	if Succeeded(exit) {
		return nil
	}
	e := &TaskError{UPID: upid, Exit: strings.TrimSpace(exit)}
	c.passLog(ctx, upid, 0, func(line string) {
		if e.Log = append(e.Log, line); len(e.Log) > lastLines {
			e.Log = e.Log[1:]
		}
	})
	return e
}

// passLog passes on the lines of a task's log from line from on, and returns where the next
// question begins. A log that cannot be read is no error of the task.
func (c *Client) passLog(ctx context.Context, upid UPID, from int, log func(string)) int {
	var lines []struct {
		N int
		T string
	}
	p := Params{"start": fmt.Sprint(from), "limit": fmt.Sprint(logLines)}
	if err := c.Get(ctx, Path("nodes", upid.Node(), "tasks", string(upid), "log"), p, &lines); err != nil {
		return from
	}
	for _, l := range lines {
		if l.N > from {
			from = l.N
			log(l.T)
		}
	}
	return from
}

// StopTask asks the server to end a task. It has not ended yet when this returns.
func (c *Client) StopTask(ctx context.Context, upid UPID) error {
	return c.Delete(ctx, Path("nodes", upid.Node(), "tasks", string(upid)), nil, nil)
}

// Start is a request that begins a task.
type Start struct {
	Method string // POST, PUT or DELETE
	Path   string
	Params Params
	// Node, Type and ID find the task if the answer to the request is lost; ID is that of
	// its UPID, mostly the number of a VM. Without a Type it is not looked for.
	Node, Type, ID string
}

// answerGrace is how long the answer to a request is waited for after its context has ended:
// with it the caller can undo what the task does.
const answerGrace = 5 * time.Second

// lastingLonger is a context that ends some time after ctx.
func lastingLonger(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(by)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); cancel() }
}

// Begin makes a request that begins a task. It is sent once, and not at all if ctx has ended;
// if ctx ends while it is under way, its answer is waited for a little longer. If its answer is lost, the task
// is looked for among those of this token that have begun since; if there is none, the error
// is the lost answer ([Lost]), and the request has had no effect as far as can be seen. A
// request that the server answers without a task returns an empty UPID.
func (c *Client) Begin(ctx context.Context, s Start) (UPID, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	since := c.transport.now().Add(-2 * time.Second)
	var answer json.RawMessage
	patient, cancel := lastingLonger(ctx, answerGrace)
	defer cancel()
	err := c.send(patient, s, &answer)
	if Lost(err) && ctx.Err() == nil && s.Type != "" {
		found, lookErr := c.find(ctx, s, since)
		if lookErr != nil || found == "" {
			return "", err
		}
		c.config.Log.Info("the answer of the server was lost, its task is there", "task", found, "error", err)
		return found, nil
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", err
	}
	var upid UPID
	if json.Unmarshal(answer, &upid) == nil && upid != "" {
		c.note(upid)
	}
	return upid, nil
}

// vmid is the number of the VM that the task is about; empty where it is about more.
func (s Start) vmid() string {
	if _, err := strconv.Atoi(s.ID); err != nil {
		return ""
	}
	return s.ID
}

func (c *Client) send(ctx context.Context, s Start, into any) error {
	switch s.Method {
	case "POST":
		return c.Post(ctx, s.Path, s.Params, into)
	case "PUT":
		return c.Put(ctx, s.Path, s.Params, into)
	}
	return c.Delete(ctx, s.Path, s.Params, into)
}

// note remembers that a task is another request's.
func (c *Client) note(upid UPID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for old, at := range c.known {
		if time.Since(at) > time.Hour {
			delete(c.known, old)
		}
	}
	c.known[upid] = time.Now()
}

// find looks for the task that a request has begun since a time of the server.
func (c *Client) find(ctx context.Context, s Start, since time.Time) (UPID, error) {
	began := time.Now()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, longestPause) {
		last := time.Since(began) >= c.config.Settle
		var tasks []struct {
			UPID      string
			Type, ID  string
			StartTime int64
		}
		p := Params{"source": "all", "typefilter": s.Type, "vmid": s.vmid(), "since": fmt.Sprint(since.Unix()), "limit": "50"}
		err := c.Get(ctx, Path("nodes", s.Node, "tasks"), p, &tasks)
		if err != nil && (!Lost(err) || last) {
			return "", err
		}
		for _, t := range tasks { // newest first
			c.mu.Lock()
			_, other := c.known[UPID(t.UPID)]
			c.mu.Unlock()
			ours := strings.HasSuffix(t.UPID, ":"+c.config.TokenID+":")
			if ours && !other && t.Type == s.Type && t.ID == s.ID && t.StartTime >= since.Unix() {
				c.note(UPID(t.UPID))
				return UPID(t.UPID), nil
			}
		}
		if last || !sleep.For(ctx, pause) {
			return "", context.Cause(ctx)
		}
	}
}

// Run begins a task and waits for it; see Begin and Wait.
func (c *Client) Run(ctx context.Context, s Start, log func(line string)) error {
	upid, err := c.Begin(ctx, s)
	if err != nil || upid == "" {
		return err
	}
	NoteTask(ctx, upid)
	return c.Wait(ctx, upid, log)
}
