package nixbuild

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

// server serves a disk on loopback, and other things under other names.
type server struct {
	*httptest.Server
	sum   string
	asked atomic.Int32
	half  chan struct{} // /slow has sent a part
}

func newServer(t *testing.T) *server {
	t.Helper()
	raw := rawDisk(t)
	content, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{half: make(chan struct{}, 1)}
	if s.sum, err = SumFile(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		switch r.URL.Path {
		case "/disk.raw":
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = w.Write(content)
		case "/moved":
			http.Redirect(w, r, "/disk.raw", http.StatusFound)
		case "/text":
			_, _ = w.Write([]byte("This is no disk."))
		case "/cut":
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = w.Write(content[:100_000])
		case "/huge":
			w.Header().Set("Content-Length", strconv.FormatInt(largestDownload+1, 10))
		case "/slow":
			_, _ = w.Write(content[:1000])
			w.(http.Flusher).Flush()
			s.half <- struct{}{}
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) image(path string) string { return s.URL + path + "#sha256=" + s.sum }

func TestAnImageIsDownloadedOnce(t *testing.T) {
	srv, s := newServer(t), OpenStore(t.TempDir())
	var last progress.Update
	img, err := s.Import(t.Context(), srv.image("/moved"), Mutable, func(u progress.Update) { last = u })
	if err != nil {
		t.Fatal(err)
	}
	if img.Mode != Mutable || img.Disk.Format != "raw" || img.Disk.SHA256 != srv.sum || img.Source != "imported from "+strconv.Quote(srv.URL+"/moved") {
		t.Errorf("got %+v", img)
	}
	if last.Current != 1<<20 || last.Total != 1<<20 || last.Unit != "bytes" {
		t.Errorf("last progress %+v", last)
	}
	if err := s.Verify(t.Context(), img); err != nil {
		t.Error(err)
	}
	before := srv.asked.Load()
	again, err := s.Import(t.Context(), srv.image("/disk.raw"), Mutable, nil)
	if err != nil || again.ID != img.ID || srv.asked.Load() != before {
		t.Errorf("a second time: %s, %v, after %d more requests", again.ID, err, srv.asked.Load()-before)
	}
	onlyImages(t, s, 1)
}

func TestADownloadThatIsNotTheImageLeavesNothing(t *testing.T) {
	srv := newServer(t)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	for name, tt := range map[string]struct {
		image string
		want  problem.Code
		retry bool
	}{
		"another checksum":   {srv.URL + "/disk.raw#sha256=" + strings.Repeat("0", 64), problem.ImageCorrupt, false},
		"no disk":            {srv.URL + "/text#sha256=" + srv.sum, problem.ImageCorrupt, false},
		"cut off":            {srv.image("/cut"), problem.ImageNotFound, true},
		"too large":          {srv.image("/huge"), problem.ImageUnsupported, false},
		"not there":          {srv.image("/none"), problem.ImageNotFound, false},
		"no server there":    {dead.URL + "/x#sha256=" + srv.sum, problem.ImageNotFound, true},
		"no checksum":        {srv.URL + "/disk.raw", problem.BadParams, false},
		"a checksum too few": {srv.URL + "/disk.raw#sha256=abc", problem.BadParams, false},
		"another fragment":   {srv.URL + "/disk.raw#md5=abc", problem.BadParams, false},
		"no server":          {"http:///disk.raw#sha256=" + srv.sum, problem.BadParams, false},
		"another machine's":  {"file://far/disk.raw", problem.BadParams, false},
		"no file":            {"file:///nonexistent-of-this-test", problem.ImageNotFound, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := OpenStore(t.TempDir())
			_, err := s.Import(t.Context(), tt.image, Immutable, nil)
			if !problem.HasCode(err, tt.want) || problem.From(err).Retryable != tt.retry {
				t.Errorf("got %v (retryable: %v), want %s", err, problem.From(err).Retryable, tt.want)
			}
			onlyImages(t, s, 0)
		})
	}
}

func TestACancelledDownloadLeavesNothing(t *testing.T) {
	srv, s := newServer(t), OpenStore(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-srv.half
		cancel()
	}()
	if _, err := s.Import(ctx, srv.image("/slow"), Immutable, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	onlyImages(t, s, 0)
}

func TestAFileCanBeNamedByItsURLAndItsChecksum(t *testing.T) {
	raw := rawDisk(t)
	sum, err := SumFile(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	s := OpenStore(t.TempDir())
	for _, image := range []string{"file://" + raw, "file://localhost" + raw + "#sha256=" + strings.ToUpper(sum)} {
		if img, err := s.Import(t.Context(), image, "", nil); err != nil || img.Disk.SHA256 != sum {
			t.Errorf("%s: %+v, %v", image, img, err)
		}
	}
	img, err := s.Import(t.Context(), raw, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), "file://"+img.Dir+"#sha256="+sum, "", nil); err != nil {
		t.Errorf("an image with its description: %v", err)
	}
	for _, path := range []string{raw, img.Dir, filepath.Join(img.Dir, ImageFile)} {
		if _, err := s.Import(t.Context(), "file://"+path+"#sha256="+strings.Repeat("0", 64), "", nil); !problem.HasCode(err, problem.ImageCorrupt) {
			t.Errorf("another checksum for %s: %v", path, err)
		}
	}
}

func TestTheSecretOfAnURLIsNotTold(t *testing.T) {
	for _, address := range []string{
		"https://me:secret@example.org/x.raw", "https://example.org/x.raw?signature=secret", "https://me:secret@example.org:x/",
		"https:///x.raw?secret#sha256=" + strings.Repeat("0", 64),
	} {
		err := CheckSource(address, "")
		if err == nil || strings.Contains(err.Error()+problem.From(err).Hint, "secret") {
			t.Errorf("got %v, hint %q", err, problem.From(err).Hint)
		}
	}
	s := newServer(t)
	src, err := findSource(s.URL+"/disk.raw?signature=secret#sha256="+s.sum, "")
	if err != nil {
		t.Fatal(err)
	}
	if told := src.name + src.img.Version + src.img.Source; strings.Contains(told, "secret") || src.url.RawQuery == "" {
		t.Errorf("told is %q, asked for is %v", told, src.url)
	}
}
