package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// asked are the fields that the wizard has questions for, in their order.
var asked = []string{"name", "image", "mode", "backend", "profiles", "memoryMiB", "vcpus", "diskBytes", "network"}

// draft is what was answered so far, with what was given on the command line.
func (w *wizard) draft() api.DraftParams {
	d := api.DraftParams{
		Name: w.name, Image: w.image, Mode: w.mode, Backend: w.backend, Network: w.network, Profiles: w.chosen,
		MemoryMiB: w.memory, VCPUs: w.vcpus, DiskBytes: w.disk,
		Autostart: w.params.Autostart, AuthorizedKeys: w.params.AuthorizedKeys, AllowedCIDRs: w.params.AllowedCIDRs, RemoteForwards: w.params.RemoteForwards, PCIDevices: w.params.PCIDevices,
	}
	for _, port := range w.params.TCPPorts {
		d.TCPPorts = append(d.TCPPorts, fmt.Sprint(port))
	}
	return d
}

// check asks the daemon about a draft.
func (w *wizard) check(ctx context.Context, d api.DraftParams) (api.DraftResult, error) {
	var checked api.DraftResult
	err := w.daemon.Call(ctx, api.MethodMachineCheck, d, &checked)
	return checked, err
}

// verdict is what the daemon says against one field of a draft, for the line
// beneath it.
func (w *wizard) verdict(ctx context.Context, field string, d api.DraftParams) error {
	checked, err := w.check(ctx, d)
	if err != nil {
		return err
	}
	if p := checked.Fields[field].Problem; p != nil {
		return errors.New(sentence(p))
	}
	return nil
}

func sentence(p *problem.Error) string {
	if p.Hint == "" {
		return p.Message
	}
	return p.Message + ": " + p.Hint
}

// rule validates the answer to one question; set puts it into the draft.
func (w *wizard) rule(ctx context.Context, field string, set func(d *api.DraftParams, s string)) func(string) error {
	return func(s string) error {
		d := w.draft()
		set(&d, strings.TrimSpace(s))
		return w.verdict(ctx, field, d)
	}
}

// fill gives every field that was not asked for what the daemon would take: what
// the machine's own files say, else the default. What was given on the command
// line and is wrong ends here.
func (w *wizard) fill(ctx context.Context) error {
	checked, err := w.check(ctx, w.draft())
	if err != nil {
		return err
	}
	if p := checked.Fields["name"].Problem; p != nil {
		return p
	}
	w.byDefault = checked.Fields["image"].Value
	if note := checked.Fields["image"].Note; note != "" && w.image == "" {
		w.byDefault += " (" + note + ")"
	}
	for field, value := range map[string]*string{
		"mode": &w.mode, "backend": &w.backend, "network": &w.network, "memoryMiB": &w.memory, "vcpus": &w.vcpus, "diskBytes": &w.disk,
	} {
		if *value == "" {
			*value = checked.Fields[field].Value
		}
	}
	if len(w.chosen) == 0 {
		w.chosen = slices.Clone(checked.Fields["profiles"].Values)
	}
	return nil
}

// apply puts the answers into the request. wrong says what the daemon would
// refuse of them, when that can be asked again.
func (w *wizard) apply(ctx context.Context) (p api.CreateParams, wrong string, err error) {
	p = w.params
	checked, err := w.check(ctx, w.draft())
	if err != nil {
		return p, "", err
	}
	var lines []string
	for _, field := range asked {
		if bad := checked.Fields[field].Problem; bad != nil {
			lines = append(lines, sentence(bad))
		}
	}
	if len(lines) > 0 {
		return p, strings.Join(lines, "\n"), nil
	}
	// What may be wrong with the flags that have no question, the request says.
	return w.request(checked), "", nil
}

// request is the create that the answers amount to.
func (w *wizard) request(checked api.DraftResult) api.CreateParams {
	p := w.params
	p.Name, p.Image, p.Mode, p.Backend, p.Profiles = strings.TrimSpace(w.name), w.image, w.mode, w.backend, w.chosen
	p.Network = checked.Fields["network"].Value
	memory, vcpus, disk := int(checked.Fields["memoryMiB"].Number), int(checked.Fields["vcpus"].Number), checked.Fields["diskBytes"].Number
	p.MemoryMiB, p.VCPUs, p.DiskBytes = &memory, &vcpus, &disk
	return p
}
