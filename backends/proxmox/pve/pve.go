// Package pve is a client of the Proxmox VE API, authenticated by an API token.
//
// Requests and the types of their answers are those of github.com/luthermonson/go-proxmox.
// This package adds what that library does not do (version 0.8.0):
//
//   - errors keep the status, the reason and the message of the server ([Error]), on which
//     callers decide: Proxmox VE answers 500 for most of what a client can do wrong;
//   - the server's certificate is verified by a CA file or by a pinned fingerprint;
//   - the secret of the token comes from a file, the environment or a command;
//   - a request that changes something is never repeated: when its answer is lost, its task
//     is looked for ([Client.Begin]);
//   - tasks are waited for with a context, and a task that ended with warnings has succeeded
//     ([Client.Wait]);
//   - uploads stream, end with their context, and have their fields in the order that the
//     server requires ([Client.Upload]).
package pve

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	proxmox "github.com/luthermonson/go-proxmox"

	"github.com/nixvm/nixvm/internal/sleep"
)

// Config says where the API is and who asks.
type Config struct {
	URL     string // https://host:8006
	TokenID string // user@realm!name
	Secret  Secret
	Trust   Trust
	// Patience bounds each request but uploads; 0 = 30 s. Some requests wait for a lock of
	// the server for 10 s, others for an absent guest agent for 3 s.
	Patience time.Duration
	// Settle is how long the task of a request is looked for whose answer was lost; 0 = 20 s.
	// The server may still be waiting for a lock before it begins the task.
	Settle time.Duration
	Log    *slog.Logger // nil = none
}

// Client asks one cluster, through one of its nodes. It may be used by several goroutines
// at once.
type Client struct {
	config    Config
	api       *proxmox.Client
	http      *http.Client
	transport *transport

	mu    sync.Mutex
	known map[UPID]time.Time // of tasks that this client has begun, when
}

// New makes a client. Nothing is asked; what is wrong with the configuration is an error.
func New(c Config) (*Client, error) {
	if err := CheckURL(c.URL); err != nil {
		return nil, err
	}
	if err := CheckTokenID(c.TokenID); err != nil {
		return nil, err
	}
	tlsConfig, err := c.Trust.config()
	if err != nil {
		return nil, err
	}
	if c.Patience == 0 {
		c.Patience = 30 * time.Second
	}
	if c.Settle == 0 {
		c.Settle = 20 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	t := &transport{
		wire: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsConfig, TLSHandshakeTimeout: 15 * time.Second,
			MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
			WriteBufferSize: 64 << 10, // for uploads: by default, each 4 KiB are a TLS record
		},
		token: c.TokenID, secret: c.Secret,
	}
	client := &Client{
		config: c, transport: t, known: map[UPID]time.Time{},
		http: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	client.api = proxmox.NewClient(client.base(), proxmox.WithHTTPClient(client.http), proxmox.WithUserAgent("nixvm"))
	return client, nil
}

// base is the address of the API.
func (c *Client) base() string { return strings.TrimSuffix(c.config.URL, "/") + "/api2/json" }

// URL of the server, for messages.
func (c *Client) URL() string { return c.config.URL }

// TokenID of the client, for messages.
func (c *Client) TokenID() string { return c.config.TokenID }

// Close drops the connections that are open.
func (c *Client) Close() { c.transport.wire.CloseIdleConnections() }

// Params are the parameters of a request. Booleans are 1 and 0.
type Params map[string]string

// with is a copy of the parameters without those that are empty.
func (p Params) with() Params {
	q := maps.Clone(p)
	maps.DeleteFunc(q, func(_, v string) bool { return v == "" })
	return q
}

// query appends parameters to a path.
func (p Params) query(path string) string {
	values := url.Values{}
	for k, v := range p.with() {
		values.Set(k, v)
	}
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}

// Path joins the parts of a path, each of them escaped.
func Path(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}

// getAttempts is how often a request that changes nothing is made.
const getAttempts = 3

// Get reads, and decodes the data of the answer into into. It is repeated when the
// connection fails, because reading changes nothing.
func (c *Client) Get(ctx context.Context, path string, p Params, into any) error {
	pause := 200 * time.Millisecond
	for attempt := 1; ; attempt++ {
		err := c.bounded(ctx, http.MethodGet, path, func(ctx context.Context) error { return c.api.Get(ctx, p.query(path), into) })
		if err == nil || !Lost(err) || attempt == getAttempts || ctx.Err() != nil {
			return err
		}
		if !sleep.For(ctx, pause) {
			return err
		}
		pause *= 3
	}
}

// Put changes something whose repetition changes nothing more. It is made once; where the
// answer is lost ([Lost]), the caller looks.
func (c *Client) Put(ctx context.Context, path string, p Params, into any) error {
	return c.bounded(ctx, http.MethodPut, path, func(ctx context.Context) error { return c.api.Put(ctx, path, p.with(), into) })
}

// Post is made once; where the answer is lost ([Lost]), the caller looks. Use Begin for
// requests that begin a task.
func (c *Client) Post(ctx context.Context, path string, p Params, into any) error {
	return c.bounded(ctx, http.MethodPost, path, func(ctx context.Context) error { return c.api.Post(ctx, path, p.with(), into) })
}

// PostJSON is Post with parameters that are lists.
func (c *Client) PostJSON(ctx context.Context, path string, body map[string]any, into any) error {
	return c.bounded(ctx, http.MethodPost, path, func(ctx context.Context) error { return c.api.Post(ctx, path, body, into) })
}

// Delete is made once; where the answer is lost ([Lost]), the caller looks.
func (c *Client) Delete(ctx context.Context, path string, p Params, into any) error {
	return c.bounded(ctx, http.MethodDelete, path, func(ctx context.Context) error { return c.api.Delete(ctx, p.query(path), into) })
}

// bounded makes one request, with a limit, and gives its error the form of this package.
func (c *Client) bounded(ctx context.Context, method, path string, request func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, c.config.Patience)
	defer cancel()
	err := request(limited)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var answer *Error
	if errors.As(err, &answer) {
		answer.Method, answer.Path = method, path
		return answer
	}
	return c.unanswered(method, path, err)
}
