package pve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
)

// Upload is a file on its way to a storage.
type Upload struct {
	Node, Storage string
	Content       string // "import" or "iso"
	Name          string // of the file there; its extension decides its format
	SHA256        string // of the content, hexadecimal; empty = the server does not check it
	Bytes         int64
	// Open returns the content. It is read once.
	Open func() (io.ReadCloser, error)
}

// stallLimit ends an upload of which the server takes nothing any more.
const stallLimit = 2 * time.Minute

// errStalled is why an upload was ended.
var errStalled = errors.New("the server has taken nothing of the upload for 2 minutes")

// Upload sends a file, reports the bytes that are sent, and returns the task that moves it
// into its place. The server answers before it has looked at the content: the task says
// what is wrong with it.
//
// The fields have the order that the server requires: content, checksum-algorithm, checksum,
// file (pve-http-server, AnyEvent.pm, file_upload_multipart).
func (c *Client) Upload(ctx context.Context, u Upload, sent func(bytes int64)) (UPID, error) {
	head, tail, kind, err := u.form()
	if err != nil {
		return "", err
	}
	content, err := u.Open()
	if err != nil {
		return "", err
	}
	defer content.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(stallLimit, func() { cancel(errStalled) })
	defer watch.Stop()
	body := &meter{r: io.LimitReader(content, u.Bytes), moved: func(n int64) {
		watch.Reset(stallLimit)
		if sent != nil {
			sent(n)
		}
	}}
	path := Path("nodes", u.Node, "storage", u.Storage, "upload")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base()+path, io.MultiReader(bytes.NewReader(head), body, bytes.NewReader(tail)))
	if err != nil {
		return "", err
	}
	r.ContentLength = int64(len(head)) + u.Bytes + int64(len(tail))
	r.Header.Set("Content-Type", kind)
	answer, err := c.http.Do(r)
	if err != nil {
		return "", c.uploadError(ctx, path, err)
	}
	defer answer.Body.Close()
	var got struct{ Data string }
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxError)).Decode(&got); err != nil {
		return "", &LostError{Method: http.MethodPost, Path: path, Err: err}
	}
	c.note(UPID(got.Data))
	return UPID(got.Data), nil
}

func (c *Client) uploadError(ctx context.Context, path string, err error) error {
	var answer *Error
	switch {
	case errors.As(err, &answer):
		answer.Method, answer.Path = http.MethodPost, path
		return answer
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return c.unanswered(http.MethodPost, path, err)
}

// form makes what is before and behind the content.
func (u Upload) form() (head, tail []byte, kind string, err error) {
	if strings.ContainsAny(u.Name, "\"\\\r\n/ ") || u.Name == "" {
		return nil, nil, "", fmt.Errorf("%q is no name for an upload", u.Name)
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	fields := [][2]string{{"content", u.Content}}
	if u.SHA256 != "" {
		fields = append(fields, [2]string{"checksum-algorithm", "sha256"}, [2]string{"checksum", u.SHA256})
	}
	for _, f := range fields {
		if err := w.WriteField(f[0], f[1]); err != nil {
			return nil, nil, "", err
		}
	}
	// Content-Disposition comes first in the part: the server looks for it there.
	fmt.Fprintf(&b, "\r\n--%s\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"%s\"\r\n", w.Boundary(), u.Name)
	fmt.Fprint(&b, "Content-Type: application/octet-stream\r\n\r\n")
	return b.Bytes(), fmt.Appendf(nil, "\r\n--%s--\r\n", w.Boundary()), w.FormDataContentType(), nil
}

// meter tells how much has been read.
type meter struct {
	r     io.Reader
	total int64
	moved func(total int64)
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if n > 0 {
		m.total += int64(n)
		m.moved(m.total)
	}
	return n, err
}
