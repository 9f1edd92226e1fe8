package qmp

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// syncID is the number that a synchronisation wants back.
func syncID(t *testing.T, c call) string {
	var a struct{ ID json.Number }
	if err := json.Unmarshal(c.Arguments, &a); err != nil {
		t.Error(err)
	}
	return a.ID.String()
}

func TestAgentSkipsWhatAnEarlierCallerLeft(t *testing.T) {
	s := serve(t, func(p *peer) {
		c, _ := p.next()
		if c.Execute != "guest-sync-delimited" {
			t.Errorf("first command %q", c.Execute)
		}
		p.send(`{"return": 17}` + "\n" + `{"retu`)
		p.send("\xff" + `{"return": 4}` + "\n")
		p.send("\xff" + `{"return": ` + syncID(t, c) + "}\n")
		c, _ = p.next()
		p.reply(c, "2")
	})
	a, err := DialAgent(limit(t), s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var frozen int
	if err := a.Execute(limit(t), "guest-fsfreeze-freeze", nil, &frozen); err != nil || frozen != 2 {
		t.Errorf("%d, %v", frozen, err)
	}
}

func TestDeadAgentEndsWithTheContext(t *testing.T) {
	s := serve(t, func(p *peer) { p.next(); p.next() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := DialAgent(ctx, s.path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestHostileAgentIsBounded(t *testing.T) {
	for name, answer := range map[string]string{
		"endless line":    strings.Repeat("a", 2*MaxLine),
		"deep nesting":    `{"return": ` + strings.Repeat("[", 100_000) + "\n",
		"no value":        "{}\n",
		"an event":        `{"event": "SHUTDOWN"}` + "\n",
		"value of a kind": `{"return": "text"}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(p *peer) {
				c, _ := p.next()
				p.send("\xff" + `{"return": ` + syncID(t, c) + "}\n")
				p.next()
				p.send(answer)
			})
			a, err := DialAgent(limit(t), s.path)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			var n int
			if err := a.Execute(limit(t), "guest-get-time", nil, &n); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestAgentRefusalLeavesTheConversationOpen(t *testing.T) {
	s := serve(t, func(p *peer) {
		c, _ := p.next()
		p.send("\xff" + `{"return": ` + syncID(t, c) + "}\n")
		p.next()
		p.send(`{"error": {"class": "CommandNotFound", "desc": "disabled"}}` + "\n")
		c, _ = p.next()
		p.reply(c, "{}")
	})
	a, err := DialAgent(limit(t), s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var refused *Error
	if err := a.Execute(limit(t), "guest-exec", nil, nil); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
	if err := a.Execute(limit(t), "guest-ping", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestSendDoesNotWait(t *testing.T) {
	got := make(chan call, 1)
	s := serve(t, func(p *peer) {
		c, _ := p.next()
		p.send("\xff" + `{"return": ` + syncID(t, c) + "}\n")
		c, _ = p.next()
		got <- c
	})
	a, err := DialAgent(limit(t), s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Send(limit(t), "guest-shutdown", map[string]string{"mode": "reboot"}); err != nil {
		t.Fatal(err)
	}
	if c := <-got; c.Execute != "guest-shutdown" || string(c.Arguments) != `{"mode":"reboot"}` {
		t.Errorf("%+v", c)
	}
}
