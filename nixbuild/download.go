package nixbuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/internal/progress"
)

const (
	// largestDownload bounds an image that comes over the network, in bytes.
	largestDownload = 64 << 30
	// silence is how long a server may send nothing.
	silence = time.Minute
)

// download gets an image into a new file and returns its SHA-256. A proxy is that
// of the environment.
func download(ctx context.Context, from *url.URL, target string, report progress.Reporter) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(silence, func() { cancel(fmt.Errorf("no data received for %v", silence)) })
	defer quiet.Stop()

	plain := *from
	plain.Fragment = ""
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, plain.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", "nixvmd")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // the checksum is that of the file as it is
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", notDownloaded(ctx, from, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode != http.StatusOK:
		return "", problem.New(problem.ImageNotFound, "%s: the server returned %s", shown(from), resp.Status).WithHint("check the address")
	case resp.ContentLength > largestDownload:
		return "", tooLarge(from)
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	w := &sparseWriter{f: f, total: max(resp.ContentLength, 0), doing: "downloading the image", report: report}
	h := sha256.New()
	body := &heard{r: io.LimitReader(resp.Body, largestDownload+1), timer: quiet}
	n, err := io.CopyBuffer(io.MultiWriter(h, w), body, make([]byte, 256<<10))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || body.err != nil && !errors.Is(body.err, io.EOF):
		return "", notDownloaded(ctx, from, err)
	case err != nil:
		return "", err
	case n > largestDownload:
		return "", tooLarge(from)
	}
	if err := f.Truncate(n); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), f.Close()
}

// heard puts off the end of the wait with everything that comes, and keeps apart
// errors of the network from those of the disk.
type heard struct {
	r     io.Reader
	timer *time.Timer
	err   error
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if n > 0 {
		h.timer.Reset(silence)
	}
	h.err = err
	return n, err
}

func notDownloaded(ctx context.Context, from *url.URL, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.Canceled) {
			return fmt.Errorf("download the image: %w", cause)
		}
		err = cause
	}
	return problem.New(problem.ImageNotFound, "cannot download %s: %w", shown(from), reason(err)).
		WithHint("check the network and the address, and try again").Retry()
}

func tooLarge(from *url.URL) error {
	return problem.New(problem.ImageUnsupported, "%s is larger than %d GiB", shown(from), largestDownload>>30).
		WithHint("download it yourself and use the file")
}
