package rpc

import (
	"context"
	"reflect"
	"slices"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

// Method is one row of the table that the server, openrpc.json, the protocol
// page and the TypeScript types are made from.
type Method struct {
	Name     string
	Doc      string         // one paragraph
	Params   reflect.Type   // a struct
	Result   reflect.Type   // a struct
	Mutating bool           // it changes something that outlives the session
	Work     bool           // it begins an operation: Params embeds Work
	Errors   []problem.Code // besides params.invalid, operation.cancelled and internal

	serve func(*request)
}

// Methods returns every nixvm/ request that the daemon answers, by family.
func Methods() []Method {
	return slices.Concat(
		[]Method{versionMethod()},
		machineMethods(), vmMethods(), upgradeMethods(), snapshotMethods(), backupMethods(), adoptMethods(), operationMethods(), attachMethods(), agentMethods(),
		sshMethods(), forwardMethods(), imageMethods(), backendMethods(), doctorMethods(),
	)
}

func versionMethod() Method {
	return instant(api.MethodVersion, "The version of the daemon. The only request that is answered before initialize.",
		func(s *session, _ api.NoParams) (any, error) { return s.srv.version(), nil },
		result[api.VersionResult]())
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// outcome is the right-hand side of a row.
type outcome struct {
	result reflect.Type
	errors []problem.Code
}

func result[R any](errors ...problem.Code) outcome { return outcome{typeOf[R](), errors} }

// instant is a read that only looks into memory. It runs on the reading
// goroutine, so that answers keep the order of the requests.
func instant[P api.Params](name, doc string, fn func(*session, P) (any, error), out outcome) Method {
	return Method{
		Name: name, Doc: doc, Params: typeOf[P](), Result: out.result, Errors: out.errors,
		serve: func(r *request) {
			p, err := decoded[P](r)
			if err != nil {
				r.fail(err)
				return
			}
			r.answer(fn(r.session, p))
		},
	}
}

// slow is a read that may wait for a disk, a program or a VM. It ends with the
// session.
func slow[P api.Params](name, doc string, fn func(context.Context, *session, P) (any, error), out outcome) Method {
	return Method{
		Name: name, Doc: doc, Params: typeOf[P](), Result: out.result, Errors: out.errors,
		serve: func(r *request) {
			p, err := decoded[P](r)
			if err != nil {
				r.fail(err)
				return
			}
			r.async(r.session.ctx, func(ctx context.Context) { r.answer(fn(ctx, r.session, p)) })
		},
	}
}

// change is a short mutation without an operation. It is finished even if the
// client goes away meanwhile.
func change[P api.Params](name, doc string, fn func(context.Context, *session, P) (any, error), out outcome) Method {
	m := slow(name, doc, fn, out)
	m.Mutating = true
	m.serve = func(r *request) {
		p, err := decoded[P](r)
		if err != nil {
			r.fail(err)
			return
		}
		r.async(r.session.srv.ctx, func(ctx context.Context) { r.answer(fn(ctx, r.session, p)) })
	}
	return m
}

// worker is the params of a request that begins an operation.
type worker interface {
	api.Params
	WorkOptions() api.Work
}

// operation begins one; the answer comes when it has ended.
func operation[P worker](name, doc string, fn func(context.Context, *session, P) (api.Operation, error), errors ...problem.Code) Method {
	return Method{
		Name: name, Doc: doc, Params: typeOf[P](), Result: typeOf[api.OperationResult](), Mutating: true, Work: true, Errors: errors,
		serve: func(r *request) {
			p, err := decoded[P](r)
			if err != nil {
				r.fail(err)
				return
			}
			r.async(r.session.srv.ctx, func(ctx context.Context) {
				op, err := fn(ctx, r.session, p)
				if err != nil {
					r.fail(err)
					return
				}
				r.follow(op, p.WorkOptions())
			})
		},
	}
}

func decoded[P api.Params](r *request) (P, error) {
	var p P
	err := decode(r.params, &p)
	r.params = nil // an operation may wait for hours, and needs them no more
	if w, ok := any(p).(interface{ ProgressToken() api.Token }); ok {
		r.setToken(w.ProgressToken())
	}
	if err == nil {
		err = p.Validate()
	}
	return p, err
}
