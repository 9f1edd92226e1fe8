package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
)

func doctorMethods() []Method {
	return []Method{
		slow(api.MethodDoctor, "Check everything that nixvm needs on this host, and report each problem with its fix.",
			func(ctx context.Context, s *session, _ api.NoParams) (any, error) {
				return api.DoctorResult{Findings: notNil(s.srv.core.Doctor(ctx))}, nil
			}, result[api.DoctorResult]()),
	}
}
