package nix

import (
	"fmt"
	"testing"
)

// What nix says of four builds, two at once, in the words of each time: done,
// expected, running, failed.
func TestTheEndOfABuildIsTheEndOfItsProgress(t *testing.T) {
	for name, news := range map[string][][4]int64{
		"until 2.28": {{0, 1}, {0, 4}, {0, 4, 2}, {1, 4, 1}, {2, 4, 0}, {2, 4, 2}, {4, 4, 0}},
		"from 2.29 on, what has ended counts twice": {{0, 1}, {0, 4}, {0, 4, 2}, {1, 5, 1}, {1, 4, 1}, {2, 6, 0}, {2, 4, 2}, {3, 5, 1}, {4, 6, 0}},
		"something was there already":               {{0, 6}, {0, 6, 1}, {1, 6, 0}, {2, 4, 0}, {4, 5, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStream("image", nil)
			s.Line([]byte(`@nix {"action":"start","id":7,"level":0,"text":"","type":104}`))
			for _, n := range news {
				s.Line(fmt.Appendf(nil, `@nix {"action":"result","fields":[%d,%d,%d,%d],"id":7,"type":105}`, n[0], n[1], n[2], n[3]))
			}
			if name != "something was there already" && s.now.ToBuild != 4 {
				t.Errorf("four builds are counted as %d", s.now.ToBuild)
			}
			s.finish()
			if p := s.Progress(); p.Done() != p.Total() || p.Total() < 4 {
				t.Errorf("at the end it is %d of %d", p.Done(), p.Total())
			}
		})
	}
}
