package pvesim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// qcow2 is a header with a virtual size, and perhaps a backing file.
func qcow2(size int64, backed bool) string {
	var b bytes.Buffer
	backing := uint64(0)
	if backed {
		backing = 512
	}
	for _, v := range []any{uint32(0x514649fb), uint32(3), backing, uint32(8), uint32(16), uint64(size)} {
		if err := binary.Write(&b, binary.BigEndian, v); err != nil {
			panic(err)
		}
	}
	return b.String() + strings.Repeat("\x00", 512)
}

// The numbered cases of the recorded uploads, and the task that they start.
func TestUploadsAnswerAsRecorded(t *testing.T) {
	c := start(t, Config{})
	image := qcow2(2<<30, false)
	digest := sha256.Sum256([]byte(image))
	sum := hex.EncodeToString(digest[:])
	content := field{name: "content", value: "import"}
	algorithm := field{name: "checksum-algorithm", value: "sha256"}
	checksum := field{name: "checksum", value: sum}
	file := func(name, value string) field { return field{name: "filename", value: value, file: name} }
	for _, test := range []struct {
		name    string
		storage string
		fields  []field
		closed  bool
		status  int
		errors  map[string]string
		message string
		exit    string // of the task, a pattern
	}{
		{name: "1", fields: []field{content, file("nixos.qcow2", image)}, status: 200, exit: "OK"},
		{name: "right checksum", fields: []field{content, algorithm, checksum, file("sum.qcow2", image)}, status: 200, exit: "OK"},
		{
			name: "wrong checksum", fields: []field{content, algorithm, {name: "checksum", value: "deadbeef"}, file("sum.qcow2", image)}, status: 200,
			exit: "checksum mismatch: got '" + sum + "' != expect 'deadbeef'",
		},
		{name: "2 and 3", fields: []field{content, checksum, algorithm, file("nixos.qcow2", image)}, closed: true},
		{
			name: "4", fields: []field{content, file("backed.qcow2", qcow2(1, true))}, status: 200,
			exit: "backing file not allowed for untrusted image '/var/tmp/pveupload-[0-9a-f]{32}'!",
		},
		{
			name: "5", fields: []field{content, file("junk.qcow2", "junk")}, status: 200,
			exit: "qemu-img: Could not open '/var/tmp/pveupload-[0-9a-f]{32}': Image is not in qcow2 format",
		},
		{name: "6", fields: []field{content, file("x.img", image)}, status: 400, errors: map[string]string{"filename": "invalid filename or wrong extension"}},
		{name: "7", fields: []field{content, file("has space.qcow2", image)}, status: 200, exit: "OK"},
		{
			name: "8", fields: []field{{name: "content", value: "images"}, file("nixos.qcow2", image)}, status: 400,
			errors: map[string]string{"content": "value 'images' does not have a value in the enumeration 'iso, vztmpl, import'"},
		},
		{
			name: "9", fields: []field{{name: "content", value: "snippets"}, file("a.yaml", "junk")}, status: 400,
			errors: map[string]string{"content": "value 'snippets' does not have a value in the enumeration 'iso, vztmpl, import'"},
		},
		{name: "10", fields: []field{file("nixos.qcow2", image), content}, status: 400, errors: map[string]string{"content": missing}},
		{
			name: "11", fields: []field{content, checksum, file("nixos.qcow2", image)}, status: 400,
			errors: map[string]string{"checksum-algorithm": "missing property required by 'checksum'"},
		},
		{name: "12", storage: "thin", fields: []field{content, file("nixos.qcow2", image)}, status: 500, message: "storage 'thin' does not support 'import' content\n"},
		{name: "other field", fields: []field{content, {name: "comment", value: "x"}, file("nixos.qcow2", image)}, closed: true},
		{name: "no file", fields: []field{content}, closed: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := *c
			c.t = t
			if test.storage == "" {
				test.storage = "local"
			}
			a, err := c.upload(test.storage, test.fields...)
			if test.closed {
				if err == nil {
					t.Fatalf("answered %d %s", a.status, a.body)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a.status != test.status || test.message != "" && a.Message != test.message {
				t.Errorf("answered %d %s", a.status, a.body)
			}
			for name, text := range test.errors {
				if a.Errors[name] != text {
					t.Errorf("errors: %v, want %s: %s", a.Errors, name, text)
				}
			}
			if test.exit == "" {
				return
			}
			var upid string
			if err := json.Unmarshal(a.Data, &upid); err != nil {
				t.Fatal(err)
			}
			if exit := c.wait(upid); !regexp.MustCompile("^" + test.exit + "$").MatchString(exit) {
				t.Errorf("the task ended with %q, want %q", exit, test.exit)
			}
		})
	}
	var content2 []struct {
		Volid, Format, Content string
		Size                   int
	}
	c.ok(&content2, "GET", "/nodes/pve1/storage/local/content", "content=import")
	var ids []string
	for _, v := range content2 {
		ids = append(ids, v.Volid)
		if v.Format != "qcow2" || v.Size != len(image) {
			t.Errorf("%+v", v)
		}
	}
	if got := strings.Join(ids, " "); got != "local:import/has_space.qcow2 local:import/nixos.qcow2 local:import/sum.qcow2" {
		t.Error(got)
	}
}

// Before 8.4 only archives could be uploaded as images.
func TestImagesCannotBeUploadedBefore84(t *testing.T) {
	c := start(t, Config{Version: "8.3.5"})
	a, err := c.upload("local", field{name: "content", value: "import"}, field{name: "filename", value: qcow2(1, false), file: "a.qcow2"})
	if err != nil || a.status != 400 || a.Errors["filename"] == "" {
		t.Errorf("%v %+v", err, a)
	}
}
