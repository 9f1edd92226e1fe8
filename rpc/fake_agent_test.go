package rpc_test

import (
	"context"

	"github.com/nixvm/nixvm/api"
)

func (c *core) Pull(_ context.Context, req api.PullParams) (api.Operation, error) {
	return c.on(api.KindPull, req.Name, req.Client)
}

func (c *core) Review(_ context.Context, req api.ReviewParams) (api.ReviewResult, error) {
	return api.ReviewResult{Directory: req.Directory, Ref: req.Ref, Commit: "1", Commits: []api.ReviewCommit{}, Files: []api.ReviewFile{}, Flags: []api.ReviewFlag{}}, nil
}
