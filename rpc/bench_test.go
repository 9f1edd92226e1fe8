package rpc_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/rpc/client"
	"github.com/nixvm/nixvm/rpc/frame"
)

// samples are the durations of single calls.
type samples []time.Duration

func (s samples) report(b *testing.B) {
	slices.Sort(s)
	at := func(q float64) float64 { return float64(s[min(int(q*float64(len(s))), len(s)-1)]) / 1e6 }
	b.ReportMetric(at(0.50), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(0, "ns/op")
}

func manyMachines(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("machine-%04d", i))
	}
	return names
}

func benchClient(b *testing.B, layout paths.Layout) *client.Client {
	b.Helper()
	c, err := client.Dial(context.Background(), layout, client.Options{Name: "benchmark"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// BenchmarkRead measures reads over the unix socket, from the request until the
// last byte of the answer has been read (raw), or until it is a Go value
// (decoded). Budgets of the design: machine/list p99 <= 1 ms with 100 machines,
// <= 5 ms with 1,000.
//
//	go test ./rpc -run '^$' -bench 'Read|FanOut' -benchtime 1000x
func BenchmarkRead(b *testing.B) {
	for _, n := range []int{100, 1000} {
		layout := func(b *testing.B) paths.Layout { return serve(b, newCore(manyMachines(n)...)) }
		b.Run(fmt.Sprintf("list/machines=%d/raw", n), func(b *testing.B) {
			r := benchRaw(b, layout(b))
			r.measure(b, api.MethodMachineList, `{}`)
		})
		b.Run(fmt.Sprintf("list/machines=%d/raw/while-operations-move", n), func(b *testing.B) {
			fake := newCore(manyMachines(n)...)
			r := benchRaw(b, serve(b, fake))
			stop := progressing(fake)
			defer stop()
			r.measure(b, api.MethodMachineList, `{}`)
		})
		b.Run(fmt.Sprintf("list/machines=%d/decoded", n), func(b *testing.B) {
			c := benchClient(b, layout(b))
			var s samples
			for b.Loop() {
				var list api.MachineListResult
				start := time.Now()
				if err := c.Call(context.Background(), api.MethodMachineList, nil, &list); err != nil || len(list.Machines) != n {
					b.Fatal(err, len(list.Machines))
				}
				s = append(s, time.Since(start))
			}
			s.report(b)
		})
		b.Run(fmt.Sprintf("get/machines=%d/decoded", n), func(b *testing.B) {
			c := benchClient(b, layout(b))
			var s samples
			for b.Loop() {
				var one api.MachineResult
				start := time.Now()
				if err := c.Call(context.Background(), api.MethodMachineGet, api.MachineParams{Name: "machine-0050"}, &one); err != nil {
					b.Fatal(err)
				}
				s = append(s, time.Since(start))
			}
			s.report(b)
		})
	}
}

// progressing reports the progress of an operation every 10 ms until stopped.
func progressing(fake *core) (stop func()) {
	op, err := fake.Start(context.Background(), "machine-0000", "benchmark")
	if err != nil {
		panic(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
				fake.move(op.ID, func(o *api.Operation) { o.Message = strconv.Itoa(i) })
			case <-done:
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// rawBench reads answers without looking into them, as nearly as possible what
// the daemon alone costs.
type rawBench struct {
	net.Conn
	r *bufio.Reader
}

func benchRaw(b *testing.B, layout paths.Layout) *rawBench {
	b.Helper()
	conn, err := net.Dial("unix", layout.Socket())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	r := &rawBench{conn, bufio.NewReaderSize(conn, 64<<10)}
	r.measureOnce(b, frame.Append(nil, []byte(requestBody(0, api.MethodInitialize, `{}`))))
	return r
}

func (r *rawBench) measure(b *testing.B, method, params string) {
	b.Helper()
	request := frame.Append(nil, []byte(requestBody(1, method, params)))
	var s samples
	size := 0
	for b.Loop() {
		start := time.Now()
		size = r.measureOnce(b, request)
		s = append(s, time.Since(start))
	}
	s.report(b)
	b.ReportMetric(float64(size), "B/answer")
}

func (r *rawBench) measureOnce(b *testing.B, request []byte) (size int) {
	b.Helper()
	if _, err := r.Write(request); err != nil {
		b.Fatal(err)
	}
	for {
		line, err := r.r.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		if line == "\r\n" {
			break
		}
		if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			if size, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				b.Fatal(err)
			}
		}
	}
	if _, err := io.CopyN(io.Discard, r.r, int64(size)); err != nil {
		b.Fatal(err)
	}
	return size
}

// BenchmarkFanOut measures a change of one machine of 1,000 until the last of ten
// clients has read it.
func BenchmarkFanOut(b *testing.B) {
	fake := newCore(manyMachines(1000)...)
	layout := serve(b, fake)
	seen, joined := make(chan struct{}, 100), make(chan struct{}, 10)
	for range cap(joined) {
		c, err := client.Dial(context.Background(), layout, client.Options{
			Name: "benchmark", OnNotification: func(method string, _ json.RawMessage) {
				if method == api.MethodDidChange {
					seen <- struct{}{}
				} else {
					joined <- struct{}{}
				}
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		<-seen // the full state
		<-joined
	}
	v := machineNamed("machine-0500")
	var s samples
	for b.Loop() {
		v.MemoryMiB++
		start := time.Now()
		fake.set(v)
		for range cap(joined) {
			<-seen
		}
		s = append(s, time.Since(start))
	}
	s.report(b)
}
