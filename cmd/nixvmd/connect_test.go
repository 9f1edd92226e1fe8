package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/api"
)

// What the daemon says to one client only is shown, however much came with it and after
// it; of lines of output that were dropped, the number is.
func TestANoticeIsNotLostAmongOtherNotifications(t *testing.T) {
	const room, lines = 4, 20
	feed := make(chan event, room)
	send := func(method string, params any) {
		text, err := json.Marshal(params)
		if err != nil {
			t.Fatal(err)
		}
		offer(feed, method, text)
	}
	send(api.MethodShowMessage, api.MessageParams{Message: "first"})
	for range lines {
		send(api.MethodLogMessage, api.MessageParams{Operation: "op1", Message: "output"})
	}
	send(api.MethodShowMessage, api.MessageParams{Message: "second"})
	var notices []string
	shown, lost := 0, 0
	drain(feed, func(e event) {
		notices, lost = append(notices, e.notices...), lost+e.lost
		if e.log != nil {
			shown++
		}
	})
	if !slices.Equal(notices, []string{"first", "second"}) || shown+lost != lines || shown == 0 {
		t.Errorf("notices %v; of %d lines %d are shown, %d counted as lost", notices, lines, shown, lost)
	}
}

// With --json a notice is a line of its own; with --quiet nothing is shown, and the
// client does not take what another one could show.
func TestNoticesWithJSONAndQuiet(t *testing.T) {
	var out bytes.Buffer
	a := &app{err: &out, json: true}
	for _, v := range []view{a.newView(api.Operation{}), a.idleView()} {
		out.Reset()
		if v.notice("a \"file\" was repaired"); out.String() != `{"notice":"a \"file\" was repaired"}`+"\n" {
			t.Errorf("%T prints %q", v, out.String())
		}
	}
	a = &app{err: &out}
	out.Reset()
	if a.idleView().notice("a file was repaired"); !strings.Contains(out.String(), "a file was repaired") {
		t.Errorf("it prints %q", out.String())
	}
	feed := make(chan event, 1)
	if a.clientOptions("start", feed).OnNotification == nil {
		t.Error("a client takes no notifications")
	}
	a.quiet = true
	if a.clientOptions("start", feed).OnNotification != nil {
		t.Error("a quiet client takes notifications that it does not show")
	}
}
