package pvesim

import (
	"strings"
	"testing"
)

// Answers of the recording that have nothing to do with VMs.
func TestRequestsOutsideTheAPI(t *testing.T) {
	c := start(t, Config{})
	a := c.fails(501, "Method 'GET /bogus' "+notKnown, "GET", "/bogus") // recorded 37
	if a.Message != "Method 'GET /bogus' "+notKnown {                   // no newline here
		t.Errorf("%s", a.body)
	}
	if a := c.fails(501, "method 'PATCH' not available", "PATCH", "/version"); len(a.body) != 0 { // recorded 38
		t.Errorf("%s", a.body)
	}
	c.fails(500, "hostname lookup 'nope' failed - failed to get address info for: nope: Temporary failure in name resolution", "GET", "/nodes/nope/tasks") // recorded 31
	large, err := c.try("PUT", "/access/acl", "application/x-www-form-urlencoded", strings.NewReader("path=/"+strings.Repeat("x", maxBody)))
	if err != nil || large.status != 501 || large.reason != "for data too large" {
		t.Errorf("%v %+v", err, large)
	}
	broken, err := c.try("PUT", "/access/acl", "application/json", strings.NewReader(`{"path": 100,`))
	if err != nil || broken.status != 500 || len(broken.body) == 0 || broken.body[0] == '{' { // recorded 40: plain text
		t.Errorf("%v %+v", err, broken)
	}
	for range 3 { // all of it on one connection
		c.ok(nil, "GET", "/version")
	}
}

func TestParametersAreCheckedByTheSchema(t *testing.T) {
	c := start(t, Config{})
	a := c.fails(400, "Parameter verification failed.", "GET", "/nodes/pve1/tasks", "limit=two", "errors=perhaps", "bogus=1", "vmid=7", "source=nowhere")
	for name, want := range map[string]string{
		"limit":  "type check ('integer') failed - got 'two'",
		"errors": "type check ('boolean') failed - got 'perhaps'",
		"bogus":  undefined,
		"vmid":   "value must have a minimum value of 100",
		"source": "value 'nowhere' does not have a value in the enumeration 'archive, active, all'",
	} {
		if a.Errors[name] != want {
			t.Errorf("%s: %q, want %q", name, a.Errors[name], want)
		}
	}
	if a.Message != "Parameter verification failed.\n" {
		t.Errorf("%q", a.Message)
	}
}

func TestStoragesAreListedToThoseWhoMaySeeThem(t *testing.T) {
	acl := DefaultACL(DefaultVersion, DefaultToken().ID, DefaultStorages()[1:])
	c := start(t, Config{ACL: acl})
	var list []struct{ Storage, Content, Type string }
	c.ok(&list, "GET", "/nodes/pve1/storage")
	if len(list) != 1 || list[0].Storage != "thin" || list[0].Content != "images,rootdir" || list[0].Type != "dir" {
		t.Errorf("%+v", list)
	}
	c.fails(403, "Permission check failed (/storage/local, Datastore.Audit|Datastore.AllocateSpace)", "GET", "/nodes/pve1/storage/local/content")
	c.fails(403, "Permission check failed (/storage/local, Datastore.AllocateTemplate)", "POST", "/nodes/pve1/storage/local/upload", "content=iso")
}

func TestAnUploadedImageIsDeletedOnlyWithThePrivilege(t *testing.T) {
	c := start(t, Config{})
	image := c.putImage("a.qcow2", 1<<30)
	path := "/nodes/pve1/storage/local/content/" + strings.TrimPrefix(image, "local:")
	c.fails(403, "Permission check failed (/storage/local, Datastore.Allocate)", "DELETE", path) // recorded 542
	acl := append(DefaultACL(DefaultVersion, "nixvmd@pve!t1", DefaultStorages()),
		ACL{Path: "/storage/local", Who: "nixvmd@pve", Role: "All", Privileges: []string{"Datastore.Allocate"}},
		ACL{Path: "/storage/local", Who: "nixvmd@pve!t1", Role: "All"})
	c = start(t, Config{ACL: acl})
	c.putImage("a.qcow2", 1<<30)
	c.expect("OK", "DELETE", path)
	var left []any
	if c.ok(&left, "GET", "/nodes/pve1/storage/local/content"); len(left) != 0 {
		t.Errorf("%v", left)
	}
}
