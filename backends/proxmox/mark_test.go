package proxmox

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// tagForm is that of a tag in Proxmox VE (pve-common, JSONSchema.pm, pve-tag).
var tagForm = regexp.MustCompile(`^[a-z0-9_][a-z0-9_\-+.]*$`)

func TestTagsAndDescriptionsAreReadBack(t *testing.T) {
	for _, m := range []mark{{}, {Owner: "0123abcd", UUID: "cf0ea2ef-36c0-42c8-bb9b-c8cad25ab122"}, {Image: imageKey("sha256:ünïcode/..")}} {
		for tag := range strings.SplitSeq(m.tags(), ";") {
			if !tagForm.MatchString(tag) {
				t.Errorf("the server does not take the tag %q", tag)
			}
		}
		if got := readMark("agent;" + m.tags() + ";zoo"); got != m {
			t.Errorf("%+v is read back as %+v", m, got)
		}
	}
	r := record{Owner: "0123abcd", Name: "demo", Image: "a\nb", Mutable: true, Started: time.Unix(1795290001, 0).UTC(), Address: "10.0.0.2"}
	if got := readRecord("edited by people\n" + r.describe("VM demo") + "\nand more"); got != r {
		t.Errorf("%+v is read back as %+v", r, got)
	}
	if got := readRecord("nothing of ours"); got != (record{}) {
		t.Errorf("a foreign description says %+v", got)
	}
}

func TestSizesAreReadAsTheServerWritesThem(t *testing.T) {
	for text, want := range map[string]int64{
		"528K": 528 << 10, "3584M": 3584 << 20, "32G": 32 << 30, "1T": 1 << 40, "512": 512, "1.5G": 3 << 29, "": 0, "G": 0, "-1G": 0, "x": 0,
	} {
		if got := parseSize(text); got != want {
			t.Errorf("the size %q is %d, want %d", text, got, want)
		}
	}
	if got := gib(3 << 29); got != "1.5" {
		t.Errorf("1.5 GiB are written %q", got)
	}
	if got := kib(1025); got != "2K" {
		t.Errorf("1025 bytes are written %q", got)
	}
}

func TestReleasesAreCompared(t *testing.T) {
	for text, want := range map[string]bool{"8.3.5": false, "8.4": true, "8.4.14": true, "9.0.3": true, "10.1": true, "7.4": false} {
		v, err := parseVersion(text)
		if err != nil || v.atLeast(8, 4) != want {
			t.Errorf("%s is %s, at least 8.4: %v, %v", text, v, !want, err)
		}
	}
	if _, err := parseVersion("trixie"); err == nil {
		t.Error("a version without numbers is accepted")
	}
}

func FuzzReadMarkAndRecord(f *testing.F) {
	f.Add("nixvm;nixvm-o-0123abcd;nixvm-u-x", record{Name: "demo"}.describe("x"))
	f.Fuzz(func(t *testing.T, tags, description string) {
		m := readMark(tags)
		if again := readMark(m.tags()); again != m {
			t.Errorf("%q is %+v, then %+v", tags, m, again)
		}
		r := readRecord(description)
		if again := readRecord(r.describe("")); !again.Started.Equal(r.Started) || again.Name != r.Name || again.UUID != r.UUID {
			t.Errorf("%q is %+v, then %+v", description, r, again)
		}
	})
}
