package sshconfig

import (
	"net"
	"path/filepath"
	"slices"
	"testing"
)

// A client that opens a port through the shared connection leaves it open when it
// ends; it can be seen, and goes with the connection.
func TestPortsThatAClientLeftOpen(t *testing.T) {
	c, g := live(t, host("demo"))
	if out, err := sshTo(t, c, g, "demo", "true"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if all, err := c.Opened("demo"); err != nil || len(all) != 0 {
		t.Errorf("before: %+v, %v", all, err)
	}
	target := echoServer(t, "tcp", freeAddress(t))
	local, socks, socket := freeAddress(t), freeAddress(t), filepath.Join(shortDir(t), "s")
	for _, args := range [][]string{{"-L", local + ":" + target}, {"-D", socks}, {"-L", socket + ":" + target}} {
		if out, err := sshTo(t, c, g, "demo", append(args, "true")...); err != nil {
			t.Fatalf("%v: %v %s", args, err, out)
		}
	}
	if got := echo(t, "tcp", local); got != "ping" {
		t.Fatalf("the port that a client opened does not outlive it here: %s", got)
	}
	all, err := c.Opened("other", "demo")
	if err != nil {
		t.Fatal(err)
	}
	var listen []string
	for _, o := range all {
		listen = append(listen, o.Listen)
		if o.Machine != "demo" || o.Alias != "demo" || o.Account != g.user || o.PID == 0 {
			t.Errorf("%+v", o)
		}
	}
	want := []string{local, socks, socket}
	slices.Sort(want)
	slices.Sort(listen)
	if !slices.Equal(listen, want) {
		t.Errorf("listens on %q, want %q", listen, want)
	}
	if err := c.CloseMasters(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{local, socks} {
		eventually(t, address+" is closed", func() bool {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		})
	}
	if all, err := c.Opened("demo"); err != nil || len(all) != 0 {
		t.Errorf("after: %+v, %v", all, err)
	}
}

func TestKernelAddress(t *testing.T) {
	for in, want := range map[string]string{
		"0100007F:1F90": "127.0.0.1:8080", "00000000:0016": "0.0.0.0:22",
		"00000000000000000000000001000000:0050": "[::1]:80", "0000000000000000FFFF00000100007F:0050": "[::ffff:127.0.0.1]:80",
	} {
		if got, err := kernelAddress(in); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x:1", "0100007F", "0100007F:x", "01:1", "0100007F:11111"} {
		if got, err := kernelAddress(in); err == nil {
			t.Errorf("%q: %s", in, got)
		}
	}
}
