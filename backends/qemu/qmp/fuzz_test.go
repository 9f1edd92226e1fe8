package qmp

import "testing"

// FuzzDecode feeds decode what a broken or hostile peer may send. All that is
// accepted is of exactly one kind.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		greeting,
		`{"return": {}, "id": 1}`,
		`{"return": null}`,
		`{"id": "x", "error": {"class": "GenericError", "desc": "d"}}`,
		`{"timestamp": {"seconds": -1, "microseconds": 99999999999}, "event": "RESET", "data": {"guest": true}}`,
		"\xff" + `{"return": 9007199254740993}`,
		`{"id": 18446744073709551616, "return": []}`,
		`[]`, `{}`, ``, `{"QMP": {}, "event": "X"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := decode(line)
		isSyncReply(line, 1)
		if err != nil {
			return
		}
		kinds := 0
		for _, is := range []bool{m.greeting != nil, m.event != nil, m.ret != nil, m.err != nil} {
			if is {
				kinds++
			}
		}
		if kinds != 1 {
			t.Errorf("%d kinds in %q", kinds, line)
		}
		if m.event != nil {
			var d map[string]any
			_ = m.event.Decode(&d)
		}
	})
}
