package rpc

import (
	"context"

	"github.com/nixvm/nixvm/api"
)

func doctorMethods() []Method {
	return []Method{
		slow(api.MethodDoctor, "Check everything that nixvm needs, and name what is missing and how to get it.",
			func(ctx context.Context, s *session, _ api.NoParams) (any, error) {
				list := s.srv.core.Doctor(ctx)
				out := api.DoctorResult{Findings: make([]api.Finding, 0, len(list))}
				for _, f := range list {
					out.Findings = append(out.Findings, api.Finding{
						Area: f.Area, Code: f.Code, Severity: string(f.Severity), Message: f.Message, Fix: f.Fix,
					})
				}
				return out, nil
			}, result[api.DoctorResult]()),
	}
}
