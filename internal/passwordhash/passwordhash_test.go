package passwordhash

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/openwall/yescrypt-go"
)

var form = regexp.MustCompile(`^\$y\$j9T\$[./0-9A-Za-z]{24}\$[./0-9A-Za-z]{43}$`)

func TestAHashProvesItsPasswordAndNoOther(t *testing.T) {
	seen := map[string]bool{}
	for _, password := range []string{"secret", "sécret with spaces", strings.Repeat("x", MaxBytes), "secret"} {
		hash, err := Of([]byte(password))
		if err != nil || !form.MatchString(hash) || seen[hash] {
			t.Fatalf("%q, %v; seen before: %v", hash, err, seen[hash])
		}
		seen[hash] = true
		for guess, want := range map[string]bool{password: true, password + "x": false, "": false} {
			got, err := yescrypt.Hash([]byte(guess), []byte(hash))
			if err != nil || bytes.Equal(got, []byte(hash)) != want {
				t.Errorf("guess of %d bytes for %d: %v, %v", len(guess), len(password), string(got) == hash, err)
			}
		}
	}
}

func TestTheLibraryOfTheSystemAcceptsTheHash(t *testing.T) {
	if _, err := exec.LookPath("perl"); err != nil {
		t.Skip("perl, which calls crypt(3), is not installed")
	}
	hash, err := Of([]byte("sécret"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("perl", "-e", `print crypt($ARGV[0], $ARGV[1])`, "sécret", hash).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(out) == 0 || out[0] == '*' {
		t.Skip("crypt(3) of this system has no yescrypt")
	}
	if string(out) != hash {
		t.Errorf("crypt(3) says %q, we %q", out, hash)
	}
}

func TestAPasswordThatNoLoginTakesIsRefusedWithoutShowingIt(t *testing.T) {
	for what, password := range map[string]string{
		"empty": "", "too long": strings.Repeat("hidden", MaxBytes), "two lines": "hidden\nhidden", "NUL": "hidden\x00", "not text": "hidden\xff",
	} {
		_, err := Of([]byte(password))
		if err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
