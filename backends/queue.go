package backends

// Queue hands events to the core without ever making the backend wait for it:
// it grows while the core is slow.
type Queue struct {
	in   chan Event
	out  chan Event
	stop chan struct{}
	done chan struct{}
}

// NewQueue returns an empty queue; Close ends it.
func NewQueue() *Queue {
	q := &Queue{
		in: make(chan Event), out: make(chan Event),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go q.run()
	return q
}

func (q *Queue) run() {
	defer close(q.done)
	defer close(q.out)
	var waiting []Event
	for {
		var out chan Event
		var first Event
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

// Out is what Backend.Events returns; Close closes it.
func (q *Queue) Out() <-chan Event { return q.out }

// Push adds an event. After Close it does nothing.
func (q *Queue) Push(e Event) {
	select {
	case q.in <- e:
	case <-q.done:
	}
}

// Mark adds a mark; see Backend.Mark.
func (q *Queue) Mark(number uint64) { q.Push(Event{Kind: Marked, Mark: number}) }

// Close drops what has not been taken and closes Out. Once only.
func (q *Queue) Close() {
	close(q.stop)
	<-q.done
}
