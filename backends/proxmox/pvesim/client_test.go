package pvesim

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A client asks like one who has a token.
type client struct {
	t      *testing.T
	sim    *Server
	token  string
	http   *http.Client
	header http.Header
}

// An answer of the simulator, with the reason phrase.
type answer struct {
	status int
	reason string
	body   []byte
	Data   json.RawMessage   `json:"data"`
	Errors map[string]string `json:"errors"`
	// Message ends with a newline.
	Message string `json:"message"`
	Total   int    `json:"total"`
}

func dial(t *testing.T, sim *Server) *client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(sim.CertificatePEM) {
		t.Fatal("no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, sim: sim, token: sim.Token(), http: &http.Client{Transport: transport}, header: http.Header{}}
}

// start runs a simulator and a client of it.
func start(t *testing.T, config Config) *client {
	t.Helper()
	return dial(t, Start(t, config))
}

func (c *client) as(token string) *client {
	other := *c
	other.token, other.header = token, http.Header{}
	return &other
}

// try sends a request; a closed connection is an error.
func (c *client) try(method, path, kind string, body io.Reader) (*answer, error) {
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.sim.URL+prefix+path, body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, c.header)
	if c.token != "" {
		req.Header.Set("Authorization", "PVEAPIToken="+c.token)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, reason: strings.TrimPrefix(resp.Status, resp.Status[:4])}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	if len(a.body) > 0 && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		err = json.Unmarshal(a.body, a)
	}
	return a, err
}

// send sends a request with parameters in the form "name=value".
func (c *client) send(method, path string, parameters ...string) *answer {
	c.t.Helper()
	values := url.Values{}
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		values.Add(name, value)
	}
	kind, body := "", io.Reader(nil)
	if method == "POST" || method == "PUT" {
		kind, body = "application/x-www-form-urlencoded", strings.NewReader(values.Encode())
	} else if len(values) > 0 {
		path += "?" + values.Encode()
	}
	a, err := c.try(method, path, kind, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// ok sends a request that has to succeed, and decodes the data of its answer.
func (c *client) ok(into any, method, path string, parameters ...string) {
	c.t.Helper()
	a := c.send(method, path, parameters...)
	if a.status != 200 {
		c.t.Fatalf("%s %s %v: %d %s: %s", method, path, parameters, a.status, a.reason, a.body)
	}
	if into != nil {
		if err := json.Unmarshal(a.Data, into); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
		}
	}
}

// fails sends a request that has to fail with this reason.
func (c *client) fails(status int, reason, method, path string, parameters ...string) *answer {
	c.t.Helper()
	a := c.send(method, path, parameters...)
	if a.status != status || a.reason != reason {
		c.t.Errorf("%s %s %v: %d %q, want %d %q: %s", method, path, parameters, a.status, a.reason, status, reason, a.body)
	}
	return a
}

// task sends a request that starts a task, waits for its end and returns its exit status.
func (c *client) task(method, path string, parameters ...string) string {
	c.t.Helper()
	var upid string
	c.ok(&upid, method, path, parameters...)
	return c.wait(upid)
}

func (c *client) wait(upid string) string {
	c.t.Helper()
	node := strings.Split(upid, ":")[1]
	for {
		var status struct{ Status, ExitStatus string }
		c.ok(&status, "GET", "/nodes/"+node+"/tasks/"+url.PathEscape(upid)+"/status")
		if status.Status == "stopped" {
			return status.ExitStatus
		}
	}
}

func (c *client) log(upid string) []string {
	c.t.Helper()
	var lines []struct{ T string }
	c.ok(&lines, "GET", "/nodes/"+strings.Split(upid, ":")[1]+"/tasks/"+url.PathEscape(upid)+"/log", "limit=0")
	var texts []string
	for _, line := range lines {
		texts = append(texts, line.T)
	}
	return texts
}

// expect compares the exit status of a task.
func (c *client) expect(exit, method, path string, parameters ...string) {
	c.t.Helper()
	if got := c.task(method, path, parameters...); got != exit {
		c.t.Errorf("%s %s %v: the task ended with %q, want %q", method, path, parameters, got, exit)
	}
}

// A field of a multipart body, in order; one with a file name is the file.
type field struct{ name, value, file string }

// multipartBody is written by hand for the sake of the order and of the exact lines.
func multipartBody(fields ...field) (kind string, body []byte) {
	const boundary = "------------------------0123456789abcdef"
	var b bytes.Buffer
	for _, f := range fields {
		b.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + f.name + "\"")
		if f.file != "" {
			b.WriteString("; filename=\"" + f.file + "\"\r\nContent-Type: application/octet-stream")
		}
		b.WriteString("\r\n\r\n" + f.value + "\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	return "multipart/form-data; boundary=" + boundary, b.Bytes()
}

func (c *client) upload(storage string, fields ...field) (*answer, error) {
	kind, body := multipartBody(fields...)
	return c.try("POST", "/nodes/pve1/storage/"+storage+"/upload", kind, bytes.NewReader(body))
}

// putImage uploads an image of the given virtual size and returns its volume ID.
func (c *client) putImage(name string, size int64) string {
	c.t.Helper()
	a, err := c.upload("local", field{name: "content", value: "import"}, field{name: "filename", value: qcow2(size, false), file: name})
	if err != nil || a.status != 200 {
		c.t.Fatalf("upload %s: %v %+v", name, err, a)
	}
	var upid string
	if err := json.Unmarshal(a.Data, &upid); err != nil {
		c.t.Fatal(err)
	}
	if exit := c.wait(upid); exit != "OK" {
		c.t.Fatalf("upload %s: %s", name, exit)
	}
	return "local:import/" + name
}
