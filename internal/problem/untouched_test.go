package problem

import (
	"errors"
	"fmt"
	"testing"
)

func TestUntouchedKeepsTheErrorAsItIs(t *testing.T) {
	cause := New(BackendUnreachable, "no answer").WithHint("ask again")
	err := fmt.Errorf("take it: %w", Untouched(fmt.Errorf("connect: %w", cause)))
	if err.Error() != "take it: connect: no answer" || !errors.Is(err, cause) || !errors.Is(err, ErrUntouched) {
		t.Errorf("got %v", err)
	}
	if p := From(err); p.Code != BackendUnreachable || p.Hint != "ask again" {
		t.Errorf("the problem is %+v", p)
	}
	if Untouched(nil) != nil {
		t.Error("no error became one")
	}
}
