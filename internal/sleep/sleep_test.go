package sleep

import (
	"context"
	"testing"
	"time"
)

func TestFor(t *testing.T) {
	if !For(t.Context(), time.Millisecond) {
		t.Error("it reports that a context has ended which has not")
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if For(ctx, time.Hour) {
		t.Error("it reports that an hour is over")
	}
	if For(ctx, 0) {
		t.Error("it waits under a context that has ended")
	}
}
