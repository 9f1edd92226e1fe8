package netstack

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lockedBuffer is a log that summaries come into from another goroutine.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// somewhere is the n-th destination in 10.9.0.0/16, and further.
func somewhere(n int) netip.AddrPort {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24|9<<16|uint32(n))
	return netip.AddrPortFrom(netip.AddrFrom4(a), 22)
}

func TestARefusalIsNamedAfterAFloodOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		r := newRefusals(textLog(&log))
		for n := range 100_000 {
			r.refused("tcp", somewhere(n))
		}
		if lines := strings.Count(log.String(), "\n"); lines != namedAtOnce {
			t.Errorf("%d lines of 100,000 attempts", lines)
		}
		for _, other := range []string{"192.168.1.1:22", "169.254.169.254:80", "10.0.2.2:80", "192.31.196.1:631"} {
			r.refused("tcp", netip.MustParseAddrPort(other))
			if !strings.Contains(log.String(), "to="+other) {
				t.Errorf("%s is not named: others were before it", other)
			}
		}
		// In the same block, when the flood is over for a moment.
		<-time.After(namedEvery + time.Second)
		r.refused("udp", netip.MustParseAddrPort("10.77.0.1:161"))
		if !strings.Contains(log.String(), "protocol=udp to=10.77.0.1:161") {
			t.Errorf("a later refusal in the same block is not named:\n%s", log.String())
		}
		r.end()
		if times, last := r.count(); times != 100_005 || last.To != "10.77.0.1:161" {
			t.Errorf("%d, %+v", times, last)
		}
	})
}

func TestWhatIsNotNamedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		r := newRefusals(textLog(&log))
		for range 5 {
			r.refused("tcp", somewhere(1))
		}
		<-time.After(firstSummary + time.Second)
		synctest.Wait()
		if want := `msg="refused again" block=10.0.0.0/8 times=4 unnamed=0 most=tcp:10.9.0.1:22 last=tcp:10.9.0.1:22`; !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, log.String())
		}
		for n := range namedAtOnce + 10 {
			r.refused("tcp", somewhere(n))
		}
		r.end()
		if want := "times=10 unnamed=9 "; !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, log.String())
		}
	})
}

// A day of attempts at ever new destinations: what the log of it takes.
func TestALongFloodIsALittleLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		r := newRefusals(textLog(&log))
		for n := range 24 * 60 {
			for range 10 {
				r.refused("tcp", somewhere(n))
			}
			<-time.After(time.Minute)
		}
		r.end()
		// One destination a minute, and a summary an hour.
		if lines := strings.Count(log.String(), "\n"); lines > 24*60+60 {
			t.Errorf("%d lines", lines)
		}
		for _, b := range r.blocks {
			if len(b.named) > namedAtOnce {
				t.Errorf("%d destinations are kept", len(b.named))
			}
		}
	})
}
