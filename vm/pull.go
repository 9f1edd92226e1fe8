package vm

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nixvm/nixvm/agent"
	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/backends"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/operation"
)

// pullAccount is that which agents run as in a guest.
const pullAccount = "user"

// pullConnect bounds the login for a pull: an emulated guest is slow.
const pullConnect = 2 * time.Minute

// pullArgs is what pull must remember from its beginning.
type pullArgs struct {
	Directory  string `json:"directory"`  // of the checkout
	Repository string `json:"repository"` // in the guest, absolute
	Branch     string `json:"branch,omitempty"`
	MaxBytes   int64  `json:"maxBytes,omitempty"`
}

// check implements checked.
func (a pullArgs) check(string) error {
	if !filepath.IsAbs(a.Directory) {
		return fmt.Errorf("they are about the checkout %.80q", a.Directory)
	}
	return nil
}

// Pull fetches a branch of a repository in the guest into a checkout on this host, as
// refs/nixvm/MACHINE/BRANCH, and changes nothing else there.
func (s *Service) Pull(ctx context.Context, req api.PullParams) (api.Operation, error) {
	op := api.Operation{Kind: api.KindPull, Machine: req.Name, Client: req.Client}
	return operation.Begin(ctx, s.engine, op, func(ctx context.Context) (pullArgs, error) { return s.judgePull(ctx, req) })
}

func (s *Service) judgePull(ctx context.Context, req api.PullParams) (pullArgs, error) {
	args := pullArgs{Directory: filepath.Clean(req.Directory), Branch: req.Branch, MaxBytes: req.MaxBytes}
	if _, _, err := s.realised(req.Name); err != nil {
		return args, err
	}
	if req.Branch != "" {
		if err := agent.CheckBranch(req.Branch); err != nil {
			return args, err
		}
	}
	var err error
	if args.Repository, err = agent.RepositoryPath(req.Repository, "/home/"+pullAccount); err != nil {
		return args, err
	}
	state, err := s.stateNow(ctx, req.Name)
	switch {
	case err != nil:
		return args, err
	case state == backends.Suspended:
		return args, problem.New(problem.VMNotRunning, "%s is suspended", req.Name).WithHint("nixvmd resume %s first", req.Name)
	case state != backends.Running:
		return args, problem.New(problem.VMNotRunning, "%s is %s", req.Name, state).WithHint("nixvmd start %s first", req.Name)
	}
	_, err = agent.Open(ctx, args.Directory)
	return args, err
}

func (s *Service) planPull(name string, args pullArgs) operation.Plan {
	limits := agent.DefaultLimits()
	limits.Bytes = cmp.Or(args.MaxBytes, limits.Bytes)
	p := &pull{s: s, name: name, args: args, quarantine: agent.NewQuarantine(filepath.Join(s.layout.Pull(), name), limits)}
	steps := []operation.Step{
		{Name: "fetch", Title: "fetching the branch from the VM", Weight: 10, Do: p.fetch, Undo: p.remove, Undoes: "removes what was fetched"},
		{Name: "take", Title: "storing the branch in the checkout", Do: p.take, Undo: p.giveBack, Undoes: "returns the reference in the checkout to what it was"},
		{Name: "tidy", Title: "removing the quarantine", Do: p.remove},
	}
	return operation.Plan{Steps: steps, Commit: 2}
}

// pull is one on its way.
type pull struct {
	s          *Service
	name       string
	args       pullArgs
	quarantine *agent.Quarantine
	taken      agent.Taken // what the step take is going to do
}

func (p *pull) fetch(ctx context.Context, r *operation.Run) error {
	checkout, err := agent.Open(ctx, p.args.Directory)
	if err != nil {
		return err
	}
	connecting, cancel := context.WithTimeout(ctx, pullConnect)
	defer cancel()
	client, err := p.s.dialGuest(connecting, p.name, pullAccount)
	if err != nil {
		return err
	}
	defer client.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	guest := agent.Over(client)
	branch := p.args.Branch
	if branch == "" {
		if branch, err = agent.Head(ctx, guest, p.args.Repository); err != nil {
			return err
		}
	}
	p.taken.Ref = agent.Ref(p.name, branch)
	r.Update(func(o *api.Operation) { o.Ref = p.taken.Ref })
	if p.taken.Commit, err = p.quarantine.Fetch(ctx, guest, p.args.Repository, branch, checkout, r.Report); err != nil {
		return err
	}
	if agent.Dirty(ctx, guest, p.args.Repository) {
		r.Warn(fmt.Sprintf("%s in the VM has changes that are not committed: they are not part of the branch", p.args.Repository))
	}
	return ctx.Err()
}

func (p *pull) take(ctx context.Context, r *operation.Run) error {
	checkout, err := agent.Open(ctx, p.args.Directory)
	if err != nil {
		return err
	}
	if p.taken.Former, err = checkout.Value(ctx, p.taken.Ref); err != nil {
		return err
	}
	if err := r.Note(p.taken); err != nil {
		return err
	}
	return checkout.Take(ctx, p.quarantine, p.taken.Ref)
}

// giveBack undoes what take has noted. A checkout that is gone has nothing.
func (p *pull) giveBack(ctx context.Context, r *operation.Run) error {
	for _, note := range r.Notes() {
		var t agent.Taken
		if err := json.Unmarshal(note, &t); err != nil {
			return fmt.Errorf("a note of the step take: %w", err)
		}
		if err := agent.CheckRef(t.Ref); err != nil {
			return fmt.Errorf("a note of the step take: %w", err)
		}
		checkout, err := agent.Open(ctx, p.args.Directory)
		if problem.HasCode(err, problem.RepositoryNotFound) {
			return nil
		}
		if err == nil {
			err = checkout.Return(ctx, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pull) remove(context.Context, *operation.Run) error { return p.quarantine.Remove() }

// Review says what a branch that was pulled adds to the checkout.
func (s *Service) Review(ctx context.Context, req api.ReviewParams) (api.ReviewResult, error) {
	checkout, err := agent.Open(ctx, filepath.Clean(req.Directory))
	if err != nil {
		return api.ReviewResult{}, err
	}
	return checkout.Review(ctx, req.Ref)
}
