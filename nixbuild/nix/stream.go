package nix

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nixvm/nixvm/internal/plaintext"
	"github.com/nixvm/nixvm/internal/progress"
)

const (
	// longestLine is the longest line of internal-json that is read, in bytes;
	// of a longer one nothing is understood and nothing kept.
	longestLine = 1 << 20
	// longestText bounds a line of output that is kept or passed on.
	longestText = 1000
	// keptErrors and keptBuilds bound what is remembered for a failure.
	keptErrors = 50
	keptBuilds = 32
)

// Stream reads one internal-json log and passes on what it means: progress,
// whenever something of it has changed, and the output of builders, a line
// each. Its memory does not grow with the length of the log. It is for one
// goroutine.
type Stream struct {
	vertex string
	report progress.Reporter

	now    Progress
	said   string // the progress as it was reported last
	builds []*build
	ended  []*build // the last ones
	// By type of activity. A "builds" or "copyPaths" that has begun to work is
	// in settled: from then on its expected number is believed.
	building, copying, loading counter
	settled                    map[uint64]bool
	expected                   map[uint64]int64 // bytes that a realisation announced, by its id
	errors                     []reported
	stray                      tail // lines that were no internal-json
}

// build is one derivation that is being built, or was lately.
type build struct {
	id         uint64
	derivation string // its path
	step       string
	output     tail
}

// reported is an error as nix said it.
type reported struct {
	text string
	at   position
}

// position of an error in a file; the zero value where nix names none.
type position struct {
	file         string
	line, column int
}

// NewStream reports about the vertex.
func NewStream(vertex string, report progress.Reporter) *Stream {
	return &Stream{
		vertex: vertex, report: report, now: Progress{Phase: Evaluating},
		settled: map[uint64]bool{}, expected: map[uint64]int64{},
	}
}

// Progress is how far the build is.
func (s *Stream) Progress() Progress { return s.now }

// Read takes lines until the end of r.
func (s *Stream) Read(r io.Reader) error {
	b := bufio.NewReaderSize(r, 64<<10)
	var long []byte
	for {
		line, err := b.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			if len(long) <= longestLine {
				long = append(long, line...)
			}
			continue
		}
		if long != nil {
			line = append(long, line...)
			long = nil
		}
		if len(line) > 0 && len(line) <= longestLine {
			s.Line(line)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the output of nix: %w", err)
		}
	}
}

// Line takes one line, with or without its end.
func (s *Stream) Line(line []byte) {
	if text, id, ok := parseOutput(line); ok {
		s.output(text, id)
		return
	}
	m, ok := parse(line)
	if !ok {
		if text := s.text(string(line)); text != "" {
			s.stray.add(text)
			s.report.Log(s.vertex, text)
		}
		return
	}
	switch m.Action {
	case "start":
		s.start(m)
	case "result":
		if m.Type == resBuildLogLine || m.Type == resPostBuildLogLine {
			s.output(m.text(), m.ID)
			return // it changes no count
		}
		s.result(m)
	case "stop":
		s.stop(m.ID)
	case "msg":
		s.message(m)
	}
	s.tell()
}

// text is a line of a program that may print anything.
func (s *Stream) text(line string) string {
	return strings.TrimRight(plaintext.Line(strings.TrimRight(line, "\r\n"), longestText), " \t")
}

func (s *Stream) start(m message) {
	switch m.Type {
	case actBuilds:
		s.building.start(m.ID)
	case actCopyPaths:
		s.copying.start(m.ID)
	case actFileTransfer:
		s.loading.start(m.ID)
	case actBuild:
		s.now.Phase = Realising
		s.builds = append(s.builds, &build{id: m.ID, derivation: m.text()})
		if len(s.builds) > most {
			s.end(s.builds[0])
		}
	case actCopyPath:
		s.now.Phase = Realising
	}
}

func (s *Stream) stop(id uint64) {
	s.building.stop(id)
	s.copying.stop(id)
	s.loading.stop(id)
	delete(s.settled, id)
	if b := s.running(id); b != nil {
		s.end(b)
	}
}

func (s *Stream) running(id uint64) *build {
	for i := len(s.builds) - 1; i >= 0; i-- { // the newest speaks most
		if s.builds[i].id == id {
			return s.builds[i]
		}
	}
	return nil
}

// end moves a build to those whose last words are remembered.
func (s *Stream) end(b *build) {
	for i := range s.builds {
		if s.builds[i] == b {
			s.builds = append(s.builds[:i], s.builds[i+1:]...)
			break
		}
	}
	if s.ended = append(s.ended, b); len(s.ended) > keptBuilds {
		s.ended = append(s.ended[:0], s.ended[1:]...)
	}
}

func (s *Stream) result(m message) {
	switch m.Type {
	case resSetPhase:
		if b := s.running(m.ID); b != nil {
			b.step = plaintext.Line(m.text(), 60)
		}
	case resProgress:
		s.progress(m)
	case resSetExpected:
		if m.number(0) == actFileTransfer && len(s.expected) < most {
			s.expected[m.ID] = max(s.expected[m.ID], m.number(1))
		}
	}
}

// output takes a line that a builder, or a hook, has printed.
func (s *Stream) output(text string, id uint64) {
	text, from := s.text(text), ""
	if b := s.running(id); b != nil {
		b.output.add(text)
		from = b.name() + "> "
	}
	s.report.Log(s.vertex, from+text)
}

func (b *build) name() string { return DerivationName(b.derivation) }

// progress takes done, expected, running and failed of an activity.
func (s *Stream) progress(m message) {
	done, expected := m.number(0), m.number(1)
	if c, ok := s.loading.running[m.ID]; ok {
		c.grow(done, expected)
		return
	}
	c, ok := s.building.running[m.ID]
	if !ok {
		if c, ok = s.copying.running[m.ID]; !ok {
			return
		}
	}
	// Until something happens, nix is still finding out what there is to do, and
	// its numbers go up and down.
	if done+m.number(2)+m.number(3) > 0 {
		s.settled[m.ID] = true
	}
	if s.settled[m.ID] {
		s.now.Phase = Realising
		c.news(done, expected)
	}
}

// finish reports that all is done: nix has succeeded, even if it still expected more.
func (s *Stream) finish() {
	p := &s.now
	p.Built, p.Copied, p.Loaded = p.ToBuild, p.ToCopy, p.ToLoad
	s.tell()
}

// message takes a text of nix itself.
func (s *Stream) message(m message) {
	if m.Level > 1 {
		return // what nix would not show either
	}
	text := plaintext.Lines(m.Msg, 8<<10)
	if m.Level == 0 && len(s.errors) < keptErrors {
		raw := m.RawMsg
		if raw == "" {
			raw = strings.TrimPrefix(text, "error: ")
		} else if i := strings.Index(text, "Did you mean "); i >= 0 {
			raw += "\n" + text[i:]
		}
		s.errors = append(s.errors, reported{strings.TrimSpace(plaintext.Lines(raw, 8<<10)), position{m.File, m.Line, m.Column}})
	}
	for line := range strings.Lines(text) {
		s.report.Log(s.vertex, s.text(line))
	}
}

// tell reports the progress if people would see a difference.
func (s *Stream) tell() {
	p := &s.now
	built, copied, loaded := s.building.sum(), s.copying.sum(), s.loading.sum()
	p.Built, p.ToBuild = max(p.Built, built.done), max(p.ToBuild, built.expected)
	p.Copied, p.ToCopy = max(p.Copied, copied.done), max(p.ToCopy, copied.expected)
	announced := int64(0)
	for _, n := range s.expected {
		announced += n
	}
	p.Loaded, p.ToLoad = max(p.Loaded, loaded.done), max(p.ToLoad, loaded.expected, announced)
	p.Downloading = len(s.loading.running) > 0
	p.Derivation, p.Step = "", ""
	if len(s.builds) > 0 {
		b := s.builds[len(s.builds)-1]
		p.Derivation, p.Step = b.name(), b.step
	}
	if text := p.String(); text != s.said {
		s.said = text
		s.report.Report(progress.Update{Vertex: s.vertex, Message: text, Current: p.Done(), Total: p.Total(), Unit: "steps"})
	}
}

// DerivationName is the name within a store path: "hello-2.12" of
// /nix/store/<hash>-hello-2.12.drv.
func DerivationName(path string) string {
	name := path[strings.LastIndexByte(path, '/')+1:]
	if _, rest, ok := strings.Cut(name, "-"); ok {
		name = rest
	}
	return plaintext.Line(strings.TrimSuffix(name, ".drv"), 100)
}
