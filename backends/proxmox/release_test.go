package proxmox_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/backends/proxmox/pvesim"
	"github.com/nixvm/nixvm/internal/problem"
)

// Before 8.4 the error of a missing image has the commands for an administrator. With the
// template that they make, VMs are created.
func TestAnAdministratorMakesTheTemplateWhereImagesCannotBeImported(t *testing.T) {
	w := newWorld(t, pvesim.Config{Version: "8.3.2"})
	b, spec := w.opened(t), w.spec(t, "demo")
	host, _ := backends.As[backends.ImageHost](b)
	err := host.PrepareImage(t.Context(), spec.Image, nil)
	p := problem.From(err)
	if !problem.HasCode(err, problem.Unsupported) || !strings.Contains(p.Hint, spec.Image.Disk) || !strings.Contains(p.Hint, "qm template") {
		t.Fatalf("%v, hint %q", err, p.Hint)
	}
	if left := w.left(t); len(left) > 0 {
		t.Errorf("it leaves %q", left)
	}
	options := pve.Params{"vmid": "700"}
	for _, o := range regexp.MustCompile(`--(\w+) '([^']*)'`).FindAllStringSubmatch(p.Hint, -1) {
		options[o[1]] = o[2]
	}
	// The simulator has no files outside its storages.
	disk := regexp.MustCompile(`thin:0,import-from=/var/tmp/nixvm-[0-9a-f]+\.raw,`)
	if !disk.MatchString(options["scsi0"]) {
		t.Errorf("the disk is %q", options["scsi0"])
	}
	options["scsi0"] = disk.ReplaceAllString(options["scsi0"], "thin:1,")
	c := w.api(t)
	for _, s := range []pve.Start{
		{Method: "POST", Path: "/nodes/pve1/qemu", Params: options, Node: "pve1", Type: "qmcreate", ID: "700"},
		{Method: "POST", Path: "/nodes/pve1/qemu/700/template", Node: "pve1", Type: "qmtemplate", ID: "700"},
	} {
		if err := c.Run(t.Context(), s, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.make(t, b, spec)
	if err := b.Start(t.Context(), spec); err != nil {
		t.Error(err)
	}
	if err := importOf(t.Context(), b, w.spec(t, "moved"), laptopDisk(t)); !problem.HasCode(err, problem.Unsupported) {
		t.Errorf("Import = %v", err)
	}
	if f := finding(b.Check(t.Context()), "administrator"); f == nil || f.Severity != backends.Warning {
		t.Errorf("Check: %+v", f)
	}
	claimed := func(string) (string, func(), error) { return "", func() {}, nil }
	if err := b.Destroy(t.Context(), spec.Ref()); err != nil {
		t.Error(err)
	}
	if _, err := host.CollectImages(t.Context(), claimed, false); err != nil {
		t.Error(err)
	}
	if !slices.ContainsFunc(w.left(t), func(name string) bool { return strings.HasPrefix(name, "nixvm-image-") }) {
		t.Error("the administrator's template is gone")
	}
}
