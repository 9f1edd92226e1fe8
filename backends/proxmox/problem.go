package proxmox

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/backends/internal/refusal"
	"github.com/nixvm/nixvm/backends/proxmox/pve"
	"github.com/nixvm/nixvm/internal/problem"
)

// problem makes an error of the API one that says what the user can do. Others are returned
// as they are.
func (b *Backend) problem(err error) error {
	var p *problem.Error
	var untrusted *pve.UntrustedError
	var secret *pve.SecretError
	what, denied := pve.Denied(err)
	switch {
	case err == nil || errors.As(err, &p) || pve.Ended(err) && !pve.Lost(err):
		return err
	case errors.As(err, &untrusted):
		return problem.New(problem.BackendUnreachable, "%w", err).
			WithHint("compare the fingerprint with that in the web interface (node, System, Certificates); if it is the same, set fingerprint = %q in config.toml", untrusted.Fingerprint)
	case errors.As(err, &secret):
		return problem.New(problem.BackendUnreachable, "%w", err).WithHint("docs/proxmox.md says where the secret of the token can be")
	case pve.Unauthenticated(err):
		return problem.New(problem.BackendUnreachable, "%s does not accept the token %s: %w", b.api.URL(), b.api.TokenID(), err).
			WithHint("check token_id and its secret; a token is made with: pveum user token add USER@REALM NAME")
	case denied:
		return problem.New(problem.Unsupported, "token %s lacks a privilege (%s): %w", b.api.TokenID(), what, err).
			WithHint("nixvmd doctor names all that are missing, and the commands that grant them")
	case pve.Lost(err):
		return problem.New(problem.BackendUnreachable, "the cluster at %s does not answer: %w", b.api.URL(), err).
			WithHint("%s; try again when the cluster answers", refusal.MayStillHappen).Retry()
	case pve.LockTimeout(err):
		return problem.New(problem.BackendUnreachable, "another task holds the VM: %w", err).WithHint("try again").Retry()
	case pve.LockedBy(err) != "":
		return problem.New(problem.BackendUnreachable, "the VM is locked by a task %q of the cluster: %w", pve.LockedBy(err), err).
			WithHint("wait until the task has ended; if there is none, an administrator unlocks it: qm unlock VMID").Retry()
	}
	return refusal.DiskFull(err)
}

// failed is problem with the code of what was asked for, where the error has none. The last
// lines of a task's log are in it.
func (b *Backend) failed(code problem.Code, doing string, err error) error {
	if err == nil {
		return nil
	}
	err = b.problem(err)
	if p := problem.From(err); p.Code != problem.Internal {
		return fmt.Errorf("%s: %w", doing, err)
	}
	var task *pve.TaskError
	p := problem.New(code, "%s: %w", doing, err)
	if errors.As(err, &task) && len(task.Log) > 0 {
		return p.WithHint("the task ends with: %s", backends.OneLine(strings.Join(task.Log, "; ")))
	}
	return p
}
