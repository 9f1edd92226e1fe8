package pve_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends/proxmox/pve"
)

// part is one of a form as it came.
type part struct{ head, name, file, content string }

// form reads a body in the order in which it was sent.
func form(t *testing.T, r *http.Request) (parts []part) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		t.Error(err)
		return nil
	}
	for m := multipart.NewReader(r.Body, params["boundary"]); ; {
		p, err := m.NextPart()
		if err != nil {
			return parts
		}
		content, _ := io.ReadAll(p)
		parts = append(parts, part{p.Header.Get("Content-Disposition"), p.FormName(), p.FileName(), string(content)})
	}
}

func TestAnUploadHasItsFieldsInTheOrderOfTheServer(t *testing.T) {
	content := bytes.Repeat([]byte("nixvm"), 100_000)
	s := newServer(t)
	var got []part
	s.on("POST", "/nodes/pve1/storage/local/upload", func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < int64(len(content)) || r.Header.Get("Authorization") != "PVEAPIToken="+tokenID+"="+secret {
			t.Errorf("length %d, %q", r.ContentLength, r.Header)
		}
		got = form(t, r)
		data(upid)(w, r)
	})
	var sent int64
	task, err := s.client(t).Upload(t.Context(), pve.Upload{
		Node: "pve1", Storage: "local", Content: "import", Name: "nixvm-1.qcow2", SHA256: sum(content), Bytes: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}, func(n int64) { sent = n })
	if err != nil || task != upid || sent != int64(len(content)) {
		t.Fatalf("Upload = %s, %v, %d bytes", task, err, sent)
	}
	want := []part{
		{`form-data; name="content"`, "content", "", "import"},
		{`form-data; name="checksum-algorithm"`, "checksum-algorithm", "", "sha256"},
		{`form-data; name="checksum"`, "checksum", "", sum(content)},
		{`form-data; name="filename"; filename="nixvm-1.qcow2"`, "filename", "nixvm-1.qcow2", string(content)},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d parts; the first three are %+v", len(got), got[:min(3, len(got))])
	}
}

// endless is content of which the server takes nothing.
type endless struct{ began func() }

func (e endless) Read(p []byte) (int, error) { e.began(); return len(p), nil }

func TestAnUploadEndsWithItsContext(t *testing.T) {
	s := newServer(t)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	s.on("POST", "/nodes/pve1/storage/local/upload", func(http.ResponseWriter, *http.Request) { <-over })
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.client(t).Upload(ctx, pve.Upload{
		Node: "pve1", Storage: "local", Content: "iso", Name: "a.iso", Bytes: 1 << 40,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(endless{cancel}), nil },
	}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Upload = %v", err)
	}
}

func TestAnUploadThatIsRefusedSaysWhy(t *testing.T) {
	s := newServer(t)
	s.on("POST", "/nodes/pve1/storage/thin/upload", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		reply(w, 500, "storage 'thin' does not support 'import' content", `{"data":null,"message":"storage 'thin' does not support 'import' content\n"}`)
	})
	upload := pve.Upload{
		Node: "pve1", Storage: "thin", Content: "import", Name: "a.qcow2", Bytes: 1,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil },
	}
	if _, err := s.client(t).Upload(t.Context(), upload, nil); err == nil || !strings.Contains(err.Error(), "does not support 'import'") {
		t.Errorf("Upload = %v", err)
	}
	upload.Name = "a\"\r\nb.qcow2"
	if _, err := s.client(t).Upload(t.Context(), upload, nil); err == nil || s.asked("POST", "/nodes/pve1/storage/thin/upload") != 1 {
		t.Errorf("an upload with a name that breaks out of its header: %v", err)
	}
}
