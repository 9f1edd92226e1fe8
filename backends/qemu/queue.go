package qemu

import "github.com/nixvm/nixvm/backends"

// queue hands events to the core without ever making the backend wait for it:
// it grows while the core is slow.
type queue struct {
	in   chan backends.Event
	out  chan backends.Event
	stop chan struct{}
	done chan struct{}
}

func newQueue() *queue {
	q := &queue{
		in: make(chan backends.Event), out: make(chan backends.Event),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go q.run()
	return q
}

func (q *queue) run() {
	defer close(q.done)
	defer close(q.out)
	var waiting []backends.Event
	for {
		var out chan backends.Event
		var first backends.Event
		if len(waiting) > 0 {
			out, first = q.out, waiting[0]
		}
		select {
		case e := <-q.in:
			waiting = append(waiting, e)
		case out <- first:
			waiting = waiting[1:]
		case <-q.stop:
			return
		}
	}
}

func (q *queue) push(e backends.Event) {
	select {
	case q.in <- e:
	case <-q.done:
	}
}

func (q *queue) close() {
	close(q.stop)
	<-q.done
}
