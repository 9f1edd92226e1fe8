package api

import "github.com/nixvm/nixvm/internal/problem"

// Params is what every parameter type is.
type Params interface {
	// Validate names the first field that is wrong. It checks form only; what
	// depends on the state of the world is the core's to check.
	Validate() error
}

// NoParams is for methods that take nothing.
type NoParams struct {
	Tokens
}

// Validate implements Params.
func (p NoParams) Validate() error { return nil }

// EmptyResult is an object without fields.
type EmptyResult struct{}

// Tokens are the fields that LSP allows in the parameters of any request.
type Tokens struct {
	// WorkDoneToken for progress; requests that are answered at once ignore it.
	WorkDoneToken Token `json:"workDoneToken,omitzero"`
	// PartialResultToken is accepted and ignored.
	PartialResultToken Token `json:"partialResultToken,omitzero"`
}

// ProgressToken is the token for progress.
func (t Tokens) ProgressToken() Token { return t.WorkDoneToken }

// Work are the fields of every request that begins an operation.
type Work struct {
	Tokens
	// Detach answers as soon as the operation is running, instead of when it has
	// ended. Follow it with nixvm/operation/subscribe, which takes the token.
	Detach bool `json:"detach,omitempty"`
	// Client that sends the request, e.g. "Emacs 30.1"; the server fills it in.
	Client string `json:"-"`
}

// Validate implements Params.
func (w Work) Validate() error {
	if w.Detach && !w.WorkDoneToken.IsZero() {
		return problem.BadField("workDoneToken", "cannot be combined with detach").WithHint("pass it to nixvm/operation/subscribe")
	}
	return nil
}

// WorkOptions returns the options; params that embed Work have them.
func (w Work) WorkOptions() Work { return w }
