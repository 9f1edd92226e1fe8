package main

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/version"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/rpc/client"
)

// daemon is a connection to the daemon; *client.Client is one.
type daemon interface {
	// Call asks and waits for the answer; the error is a *problem.Error.
	Call(ctx context.Context, method string, params, result any) error
	// Begin is Call for a request that begins an operation: when ctx ends first,
	// the answer to the cancelled request is waited for, a few seconds.
	Begin(ctx context.Context, method string, params, result any) error
	Close() error
}

// connect returns a connection to the daemon, which is started if none runs.
// feed gets what happens there, if it is not nil.
func (a *app) connect(ctx context.Context, verb string, feed chan event) (daemon, error) {
	c, err := client.DialOrStart(ctx, a.layout, a.program(), a.clientOptions(verb, feed))
	if problem.HasCode(err, problem.DaemonUnreachable) || problem.HasCode(err, rpc.ProblemStopping) {
		// That was one on its way out: the next try meets its successor, or
		// learns why there is none.
		c, err = client.DialOrStart(ctx, a.layout, a.program(), a.clientOptions(verb, feed))
	}
	if err != nil {
		return nil, err
	}
	// ssh shows what the proxy says, and it is not the place for advice.
	if running := c.Server().ServerInfo.Version; running != version.String() && verb != "proxy" {
		a.warn("the running daemon is version " + running + ", this is " + version.String() +
			"; nixvmd shutdown stops it, and the next command starts the new one (VMs keep running)")
	}
	return c, nil
}

// connectRunning is connect for those who must not start a daemon.
func (a *app) connectRunning(ctx context.Context, verb string) (daemon, error) {
	return a.connectWithin(ctx, verb, 0)
}

// connectWithin is connectRunning with a limit of its own for the daemon's first
// answer; 0 is the usual one.
func (a *app) connectWithin(ctx context.Context, verb string, limit time.Duration) (daemon, error) {
	o := a.clientOptions(verb, nil)
	o.Greeting = limit
	c, err := client.Dial(ctx, a.layout, o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// ask connects, asks one thing and hangs up.
func (a *app) ask(ctx context.Context, verb, method string, params, result any) error {
	d, err := a.connect(ctx, verb, nil)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Call(ctx, method, params, result)
}

// program is how a daemon is started: this same file, looking in the same place.
func (a *app) program() client.Program {
	p := client.Program{Path: a.exe}
	if home := os.Getenv("NIXVM_HOME"); home != "" {
		p.Args = []string{"--home", home}
	}
	return p
}

func (a *app) clientOptions(verb string, feed chan event) client.Options {
	o := client.Options{Name: "nixvmd " + verb, Version: version.String()}
	// With --quiet nothing is shown, and what the daemon says to one client only must go to
	// another one: it says that to clients that take notifications.
	if feed != nil && !a.quiet {
		o.OperationLog = a.verbose || a.json
		o.OnNotification = func(method string, params json.RawMessage) { offer(feed, method, params) }
	}
	return o
}

// offer passes a notification on without blocking. If the view does not keep up, the
// oldest goes, because the next one says more; but its notices go with the next one, and
// so does the number of lost lines of output.
func offer(feed chan event, method string, params json.RawMessage) {
	e, ok := eventOf(method, params)
	for ok {
		select {
		case feed <- e:
			return
		default:
		}
		select {
		case old := <-feed:
			e.notices = append(old.notices, e.notices...)
			e.lost += old.lost
			if old.log != nil {
				e.lost++
			}
		default:
		}
	}
}

func eventOf(method string, params json.RawMessage) (event, bool) {
	switch method {
	case api.MethodDidChange:
		var p api.DidChangeParams
		if json.Unmarshal(params, &p) == nil && len(p.Operations) > 0 {
			return event{operations: p.Operations}, true
		}
	case api.MethodLogMessage:
		var p api.MessageParams
		if json.Unmarshal(params, &p) == nil && p.Operation != "" {
			return event{log: &p}, true
		}
	case api.MethodShowMessage: // the daemon says it to one client only, so it must not be lost
		var p api.MessageParams
		if json.Unmarshal(params, &p) == nil && p.Message != "" {
			return event{notices: []string{p.Message}}, true
		}
	}
	return event{}, false
}
