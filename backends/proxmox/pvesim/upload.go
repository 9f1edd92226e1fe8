package pvesim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An uploaded file waits in the spool until a task takes it.
type spooled struct {
	file string // where it is here
	name string // what the answers call it
	sum  string // sha256
	size int64
}

func isUpload(r *route) bool {
	return r.verb == "POST" && strings.HasSuffix(r.name, "/upload")
}

// uploadFields come before the file, in this order; each is looked for once
// (upload-cases, from the source of the HTTP server).
var uploadFields = []string{"content", "checksum-algorithm", "checksum"}

// closed is the answer that closes the connection (upload 2, 3).
var closed = response{}

// errClosed ends a request without an answer.
var errClosed = &apiError{status: 0, bare: true}

// receiveUpload reads a multipart body: the fields into the parameters, the file
// into the spool. What comes after the file is not read (upload 10).
func (s *Server) receiveUpload(c *call) error {
	if len(c.body.TransferEncoding) > 0 {
		return bare(501, "chunked transfer encoding not supported") // source
	}
	kind, options, err := mime.ParseMediaType(c.body.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return s.parseParams(c, c.body)
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	reader := multipart.NewReader(c.body.Body, options["boundary"])
	expected := uploadFields
	for {
		part, err := reader.NextRawPart()
		if err != nil {
			return errClosed // "upload failed": ends before the file part
		}
		disposition := part.Header.Get("Content-Disposition")
		if name := part.FormName(); name == "filename" && strings.HasPrefix(disposition, `form-data; name="filename"; filename="`) {
			c.add("filename", part.FileName())
			return s.spool(c, part)
		}
		i := slices.Index(expected, part.FormName())
		if i < 0 || disposition != `form-data; name="`+part.FormName()+`"` {
			return errClosed // wrong order, wrong field or wrong disposition
		}
		value, err := io.ReadAll(io.LimitReader(part, 4096))
		if err != nil {
			return errClosed
		}
		c.add(part.FormName(), string(value))
		expected = expected[i+1:]
	}
}

func (s *Server) spool(c *call, from io.Reader) error {
	name := "pveupload-" + randomHex(16)
	file, err := os.Create(filepath.Join(s.config.Dir, name))
	if err != nil {
		return fmt.Errorf("spool an upload: %w", err)
	}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(file, sum), from)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(file.Name())
		return errClosed
	}
	c.spooled = &spooled{file: file.Name(), name: "/var/tmp/" + name, sum: hex.EncodeToString(sum.Sum(nil)), size: size}
	return nil
}

// dropUpload removes a spooled file that no task took.
func (c *call) dropUpload() {
	if c.spooled != nil {
		os.Remove(c.spooled.file)
	}
}

var (
	unsafeName = regexp.MustCompile(`[^-a-zA-Z0-9_.]`)
	extensions = map[string]*regexp.Regexp{
		"iso":    regexp.MustCompile(`(?i)\.(iso|img)$`),
		"vztmpl": regexp.MustCompile(`(?i)\.tar(\.gz|\.xz|\.zst)$`),
		"import": regexp.MustCompile(`\.(ova|qcow2|raw|vmdk)$`),
	}
	onlyArchive = regexp.MustCompile(`\.ova$`)
)

// uploadName normalises a name (upload 7) and checks its extension (upload 6);
// Proxmox VE 8.3 takes archives only (facts 1).
func (s *Server) uploadName(c *call) (string, error) {
	name := unsafeName.ReplaceAllString(path.Base(strings.ReplaceAll(c.get("filename"), `\`, "/")), "_")
	extension := extensions[c.get("content")]
	if c.get("content") == "import" && !atLeast(s.config.Version, 8, 4) {
		extension = onlyArchive
	}
	if !extension.MatchString(name) {
		return "", invalidParameter("filename", "invalid filename or wrong extension")
	}
	return name, nil
}

func upload(s *Server, c *call) (any, error) {
	if err := s.reachNode(c.node()); err != nil {
		return nil, err
	}
	st, err := s.storage(c.get("storage"), c.node())
	if err != nil {
		return nil, err
	}
	content := c.get("content")
	if !st.has(content) {
		return nil, failf("storage '%s' does not support '%s' content", st.Name, content) // upload 12
	}
	name, err := s.uploadName(c)
	if err != nil {
		return nil, err
	}
	if c.spooled == nil {
		return nil, failf("missing temporary file name") // unseen
	}
	file := c.spooled
	c.spooled = nil // the task has it now
	algorithm, checksum := c.get("checksum-algorithm"), c.get("checksum")
	node := c.node()
	return s.run(c, node, "imgcopy", "", func(t *task) error {
		defer os.Remove(file.file)
		return s.storeUpload(t, st, node, content, name, file, algorithm, checksum)
	}), nil
}

func (s *Server) storeUpload(t *task, st *storage, node, content, name string, file *spooled, algorithm, checksum string) error {
	if algorithm != "" {
		got, err := sumFile(algorithm, file.file)
		if err != nil {
			return err
		}
		if got != strings.ToLower(checksum) {
			return failf("checksum mismatch: got '%s' != expect '%s'", got, checksum) // upload-cases, end
		}
	}
	size := file.size
	image := imageInfo{format: "raw", size: size}
	if content == "import" {
		var err error
		if image, err = inspectImage(file.file, file.name, path.Ext(name)); err != nil {
			return err
		}
	} else {
		image.format = content
	}
	directory := map[string]string{"iso": "iso/", "import": "import/", "vztmpl": "vztmpl/"}[content]
	v := &volume{
		id: st.Name + ":" + directory + name, name: directory + name, content: content, format: image.format, size: size, used: size,
		created: time.Now(), data: "sha256:" + file.sum, image: image,
	}
	kept := filepath.Join(s.config.Dir, "volume-"+randomHex(8))
	if err := os.Rename(file.file, kept); err != nil {
		return fmt.Errorf("keep an upload: %w", err)
	}
	v.file = kept
	s.formats[kept] = image.format
	t.logf("starting file import from: %s", file.name) // source
	t.logf("target node: %s", node)
	t.logf("target file: %s", st.path(v))
	t.logf("file size is: %d", size)
	t.logf("finished file import successfully")
	if old := st.at(node)[v.id]; old != nil {
		s.dropFile(old)
	}
	st.at(node)[v.id] = v
	return nil
}
