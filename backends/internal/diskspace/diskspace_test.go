package diskspace

import (
	"path/filepath"
	"testing"
)

func TestADirectoryThatIsNotMadeYetHasTheSpaceOfItsParent(t *testing.T) {
	dir := t.TempDir()
	above, err := Of(dir)
	if err != nil || above.Name != dir || above.Free <= 0 || above.Storage == "" {
		t.Fatalf("%+v, %v", above, err)
	}
	below, err := Of(filepath.Join(dir, "a", "b"))
	if err != nil || below.Name != dir || below.Storage != above.Storage {
		t.Errorf("%+v, %v; want that of %s", below, err, dir)
	}
	if got, err := Of(filepath.Join(dir, "\x00")); err == nil {
		t.Errorf("a path that cannot exist has %+v", got)
	}
}
