package proxmox

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/renew"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// RenewIdentity puts another medium into the CD drive of a running VM and has the guest's
// agent run the guest's program; see backends.IdentityRenewer.
func (b *Backend) RenewIdentity(ctx context.Context, ref backends.Ref, id backends.Identity) ([]string, error) {
	ctx, f, done, err := b.beginRunning(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer done()
	c, err := b.conf(ctx, f.entry)
	if err != nil {
		return nil, b.problem(err)
	}
	drive := &cdDrive{b: b, e: f.entry, uuid: f.mark.UUID, former: b.mediumIn(c, f.mark.UUID)}
	talk := func(_ context.Context, f func(renew.Agent) error) error { return f(guestAgent{b, drive.e}) }
	pending, err := renew.Identity(ctx, ref.Name, drive, talk, id)
	defer b.dropOthers(ctx, drive.e, drive.uuid)
	if err != nil {
		return nil, b.failed(problem.Internal, "renew the identity of "+ref.Name, err)
	}
	r := readRecord(c["description"])
	r.Medium = mediumSum(id.Medium)
	if err := b.put(ctx, f.entry, pve.Params{"description": b.vmDescription(r)}); err != nil {
		// The next start uploads the medium again.
		b.log.Warn("the new identity is not on record", "vm", ref.Name, "error", err)
	}
	return pending, nil
}

// dropOthers removes the medium that a VM does not have, after it may have got another one.
func (b *Backend) dropOthers(ctx context.Context, e entry, uuid string) {
	clean, cancel := afterwards(ctx)
	defer cancel()
	c, err := b.conf(clean, e)
	if err != nil {
		b.log.Warn("an identity medium may be left", "vm", e.name, "error", err)
		return
	}
	b.dropISO(clean, e.node, b.otherMedium(b.mediumIn(c, uuid), uuid))
}

// cdDrive is a renew.Medium. Proxmox VE does not give an ISO image back, and does not open
// one again that is in the drive already: the new medium is another volume, and what it
// takes back is the former one.
type cdDrive struct {
	b       *Backend
	e       entry
	uuid    string
	former  string // volume
	changed bool
}

// Read returns as many bytes as the medium has, and does not know them.
func (d *cdDrive) Read(ctx context.Context) ([]byte, error) {
	bytes, there, err := d.b.volumeSize(ctx, d.e.node, d.b.config.Images, "iso", d.former)
	if err == nil && (!there || bytes > mostMedium) {
		err = fmt.Errorf("the storage has no medium %s", d.former)
	}
	if err != nil {
		return nil, err
	}
	return make([]byte, bytes), nil
}

// mostMedium bounds the size of a medium, in bytes. It is 1 MiB.
const mostMedium = 16 << 20

// Write inserts the new medium the first time, and the former one again after that.
func (d *cdDrive) Write(ctx context.Context, content []byte) error {
	volume := d.former
	if !d.changed {
		volume = d.b.otherMedium(d.former, d.uuid)
		if err := d.b.uploadTo(ctx, d.e.node, volume, content); err != nil {
			return err
		}
		d.changed = true
	}
	return d.b.put(ctx, d.e, pve.Params{mediumDrive: volume + ",media=cdrom"})
}

// guestAgent asks the agent of a guest by the API, in the words of the agent.
type guestAgent struct {
	b *Backend
	e entry
}

// Execute knows the commands guest-exec and guest-exec-status.
func (a guestAgent) Execute(ctx context.Context, command string, arguments, out any) error {
	answer, err := a.ask(ctx, command, arguments)
	if err != nil {
		return err
	}
	text, err := json.Marshal(answer)
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	return err
}

func (a guestAgent) ask(ctx context.Context, command string, arguments any) (any, error) {
	text, err := json.Marshal(arguments)
	if err != nil {
		return nil, err
	}
	var asked struct {
		Path string
		PID  int
	}
	if err := json.Unmarshal(text, &asked); err != nil {
		return nil, err
	}
	if command == "guest-exec" {
		var started struct {
			PID int `json:"pid"`
		}
		err := a.b.api.PostJSON(ctx, a.e.path("agent", "exec"), map[string]any{"command": []string{asked.Path}}, &started)
		return started, err
	}
	var now struct {
		Exited   int    `json:"exited"`
		ExitCode *int   `json:"exitcode"`
		Out      string `json:"out-data"`
		Err      string `json:"err-data"`
	}
	err = a.b.api.Get(ctx, a.e.path("agent", "exec-status"), pve.Params{"pid": itoa(asked.PID)}, &now)
	return map[string]any{"exited": now.Exited != 0, "exitcode": now.ExitCode, "out-data": []byte(now.Out), "err-data": []byte(now.Err)}, err
}
