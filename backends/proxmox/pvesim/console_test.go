package pvesim

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
)

type proxy struct{ Port, Ticket, User string }

// open asks for the websocket of a console, and returns the status line's code.
func (c *client) open(p proxy) (*tls.Conn, *bufio.Reader, *http.Response) {
	c.t.Helper()
	conn, err := tls.Dial("tcp", c.sim.URL[len("https://"):], c.http.Transport.(*http.Transport).TLSClientConfig)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	query := url.Values{"port": {p.Port}, "vncticket": {p.Ticket}}
	fmt.Fprintf(conn, "GET %s%s/vncwebsocket?%s HTTP/1.1\r\nHost: pve\r\nAuthorization: PVEAPIToken=%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", prefix, vm100, query.Encode(), c.token)
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return conn, reader, resp
}

// masked is a frame as a client sends it, with a mask of zeros.
func masked(text string) []byte {
	frame := []byte{0x82, 0x80 | byte(len(text)), 0, 0, 0, 0}
	if len(text) > 125 {
		frame = []byte{0x82, 0x80 | 126, byte(len(text) >> 8), byte(len(text)), 0, 0, 0, 0}
	}
	return append(frame, text...)
}

func TestTheConsoleOfASerialPort(t *testing.T) {
	c := withVM(t, Config{})
	c.expect("OK", "POST", vm100+"/status/start")
	var p proxy
	c.ok(&p, "POST", vm100+"/termproxy")
	conn, reader, resp := c.open(p)
	if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // the example of RFC 6455, 1.3
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	for _, exchange := range [][2]string{{p.User + ":" + p.Ticket + "\n", "OK"}, {"0:5:hello", "hello"}} {
		if _, err := conn.Write(masked(exchange[0])); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 2+len(exchange[1]))
		if _, err := io.ReadFull(reader, got); err != nil || string(got[2:]) != exchange[1] {
			t.Errorf("%v: %q", err, got)
		}
	}
	for name, wrong := range map[string]proxy{"port": {Port: "5999", Ticket: p.Ticket}, "ticket": {Port: p.Port, Ticket: "PVEVNC:00000000::no"}} {
		if _, _, resp := c.open(wrong); resp.StatusCode != 401 {
			t.Errorf("a wrong %s: %s", name, resp.Status)
		}
	}
}

// Before 9.1 a token cannot use the tickets of its consoles.
func TestTokensHaveNoConsoleBefore91(t *testing.T) {
	c := withVM(t, Config{Version: "9.0.3"})
	c.expect("OK", "POST", vm100+"/status/start")
	var p proxy
	a := c.send("POST", vm100+"/termproxy")
	if err := json.Unmarshal(a.Data, &p); err != nil {
		t.Fatalf("%s", a.body)
	}
	if _, _, resp := c.open(p); resp.StatusCode != 401 {
		t.Error(resp.Status)
	}
}
