package qemu

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/sleep"
)

// longestRenewal bounds the growing pause before a network process that ended is
// started again; one that has lived for steady counts as sound.
const (
	longestRenewal = time.Minute
	steady         = 5 * time.Minute
)

// renewal starts the network process of a VM again when it has ended and QEMU has not.
type renewal struct {
	i       *instance
	began   time.Time     // when the present process began to be watched
	pause   time.Duration // before the next attempt
	cancel  context.CancelFunc
	renewed chan *process // the new one
	work    sync.WaitGroup
}

func (i *instance) newRenewal() *renewal {
	return &renewal{i: i, began: time.Now(), cancel: func() {}, renewed: make(chan *process, 1)}
}

// begin says that the guest has no network, and sees to a new process, which
// comes by renewed.
func (r *renewal) begin() {
	i := r.i
	i.log().Error("the network process of the VM has ended", "log", i.v.files.path(networkLog))
	i.cutOff(i.fateOfNetwork())
	if !i.renewable() {
		return
	}
	if time.Since(r.began) > steady {
		r.pause = 0
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(i.b.ctx)
	r.work.Go(func() {
		for ctx.Err() == nil {
			if !sleep.For(ctx, r.pause) {
				return
			}
			r.pause = min(max(2*r.pause, i.b.limits.renew), longestRenewal)
			p, err := i.renewNetwork(ctx)
			if err == nil {
				r.renewed <- p
				return
			}
			if ctx.Err() == nil {
				i.log().Error("cannot restart the network process of the VM", "error", err)
				i.cutOff(fmt.Sprintf("its network process has failed and is being restarted: %s", backends.OneLine(problem.From(err).Message)))
			}
		}
	})
}

// take makes p the network of the VM.
func (r *renewal) take(p *process) {
	r.work.Wait()
	r.cancel() // or the Backend's context would keep that of every attempt
	r.began = time.Now()
	if r.i.network != nil {
		r.i.network.release()
	}
	r.i.network = p
}

// end gives up. A process that has come up meanwhile is the VM's.
func (r *renewal) end() {
	r.cancel()
	r.work.Wait()
	select {
	case p := <-r.renewed:
		r.take(p)
	default:
	}
}

// renewNetwork is one attempt. Without an error the process is on record.
func (i *instance) renewNetwork(ctx context.Context) (*process, error) {
	ctx, cancel := context.WithTimeout(ctx, greeting)
	defer cancel()
	rec, err := i.v.files.readRecord()
	if err != nil {
		return nil, err
	}
	if rec.Port == 0 {
		return nil, problem.New(problem.VMNotReady, "its forwarded port is no longer known").WithHint("nixvmd reboot %s", i.v.name)
	}
	port, err := listenPort(rec.Port)
	if err != nil {
		return nil, err
	}
	defer port.Close()
	n, err := startNetwork(i.v.files, i.sockets, i.v.name, i.proc, port)
	if err != nil {
		return nil, err
	}
	defer n.close()
	if err = n.await(ctx); err == nil {
		err = i.b.update(i.v.name, func(r *record) {
			if r.Run != nil {
				r.Run.Network = n.proc.onRecord()
			}
		})
	}
	if err == nil {
		err = n.recorded()
	}
	if err != nil {
		_ = n.end(ctx)
		return nil, err
	}
	return n.proc, nil
}

// isAlone reports whether the network had ended before the VM was adopted.
func (i *instance) isAlone() bool { return i.network == nil && i.run.Network != nil }

// renewable reports whether QEMU sends to any process that is its network.
func (i *instance) renewable() bool { return i.run.Sockets != "" }

// fateOfNetwork says what becomes of a network that has ended.
func (i *instance) fateOfNetwork() string {
	if i.renewable() {
		return "its network process has failed and is being restarted"
	}
	return "its network process has failed: nixvmd reboot " + i.v.name + " starts a new one"
}

// cutOff says that the guest has no network now, and why.
func (i *instance) cutOff(why string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	defer i.changed.Broadcast()
	if i.cut != why {
		i.cut = why
		i.emit(backends.StateChanged)
	}
}

// connected says that it has one again.
func (i *instance) connected() {
	i.log().Info("the network process of the VM is running again", "process", i.network.pid)
	i.cutOff("")
}
