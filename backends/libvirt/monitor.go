package libvirt

import (
	"context"
	"encoding/json"
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nixvm/nixvm/backends"
)

// monitorError is QEMU's refusal of a monitor command.
type monitorError struct {
	Class       string `json:"class"`
	Description string `json:"desc"`
}

func (e *monitorError) Error() string { return backends.OneLine(e.Description) }

// monitor runs one QMP command of a running domain's QEMU through libvirt, for
// what libvirt has no request of its own. libvirt marks the domain as tainted.
func (b *Backend) monitor(ctx context.Context, dom golibvirt.Domain, command string, arguments, out any) error {
	text, err := json.Marshal(map[string]any{"execute": command, "arguments": arguments})
	if err != nil {
		return err
	}
	reply, err := ask(ctx, b, func(l *golibvirt.Libvirt) (string, error) { return l.QEMUDomainMonitorCommand(dom, string(text), 0) })
	if err != nil {
		return err
	}
	var r struct {
		Return json.RawMessage `json:"return"`
		Error  *monitorError   `json:"error"`
	}
	if err := json.Unmarshal([]byte(reply), &r); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if r.Error != nil {
		return r.Error
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(r.Return, out)
}

// blockNode is an element of query-named-block-nodes (qapi/block-core.json).
type blockNode struct {
	Name   string `json:"node-name"`
	Driver string `json:"drv"`
	Image  struct {
		Filename  string `json:"filename"`
		Snapshots []struct {
			Name string `json:"name"`
		} `json:"snapshots"`
	} `json:"image"`
}

func (n blockNode) has(snapshot string) bool {
	for _, s := range n.Image.Snapshots {
		if s.Name == snapshot {
			return true
		}
	}
	return false
}

// stateNode finds the state disk of a running domain among QEMU's block nodes.
// Their names are libvirt's and change from start to start, so the file counts.
func (b *Backend) stateNode(ctx context.Context, d domain) (blockNode, error) {
	x, err := askAgain(ctx, b, func(l *golibvirt.Libvirt) (libvirtxml.Domain, error) { return definition(l, d.dom, 0) })
	if err != nil {
		return blockNode{}, err
	}
	file := sourceOf(x, stateTarget(d.mark.Mutable))
	var nodes []blockNode
	err = b.again(ctx, func() error {
		return b.monitor(ctx, d.dom, "query-named-block-nodes", map[string]bool{"flat": true}, &nodes)
	})
	if err != nil {
		return blockNode{}, err
	}
	for _, n := range nodes {
		if n.Driver == "qcow2" && n.Image.Filename == file && file != "" {
			return n, nil
		}
	}
	return blockNode{}, fmt.Errorf("QEMU has no qcow2 disk %s", file)
}

// sourceOf is the file of a disk in a definition, "" if there is none.
func sourceOf(x libvirtxml.Domain, target string) string {
	if x.Devices == nil {
		return ""
	}
	for _, d := range x.Devices.Disks {
		if d.Target != nil && d.Target.Dev == target && d.Source != nil && d.Source.File != nil {
			return d.Source.File.File
		}
	}
	return ""
}
