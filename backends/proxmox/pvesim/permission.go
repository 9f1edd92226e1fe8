package pvesim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// checkExpression evaluates the permissions of a method in the schema.
func (s *Server) checkExpression(c *call, expression []any) error {
	if len(expression) == 0 {
		return nil
	}
	switch kind := expression[0].(string); kind {
	case "perm":
		return s.checkPerm(c, expression[1:])
	case "and":
		for _, part := range expression[1:] {
			if err := s.checkExpression(c, part.([]any)); err != nil {
				return err
			}
		}
		return nil
	case "or":
		// None of them: the answer names no path (source; recorded 8 for create).
		for _, part := range expression[1:] {
			if s.checkExpression(c, part.([]any)) == nil {
				return nil
			}
		}
		return denied("")
	case "userid-param":
		if c.get("userid") == c.who.user || c.who.isRoot() {
			return nil
		}
		return denied("")
	case "userid-group":
		return s.check(c, "/access/groups", names(expression[1])...)
	case "perm-modify":
		return s.check(c, c.fill(expression[1].(string)), "Permissions.Modify")
	default:
		return fmt.Errorf("the simulator does not know the permission check %q", kind)
	}
}

// checkPerm is ["/vms/{vmid}", ["VM.Audit"], "any", 1, "require_param", "pool"].
func (s *Server) checkPerm(c *call, args []any) error {
	path := c.fill(args[0].(string))
	privileges := names(args[1])
	options := args[2:]
	if i := slices.Index(options, any("require_param")); i >= 0 && !c.has(options[i+1].(string)) {
		return denied("")
	}
	if slices.Contains(options, any("any")) {
		return s.checkAny(c, path, privileges...)
	}
	return s.check(c, path, privileges...)
}

var placeholder = regexp.MustCompile(`\{[^}]+\}`)

func (c *call) fill(template string) string {
	return placeholder.ReplaceAllStringFunc(template, func(name string) string { return c.get(strings.Trim(name, "{}")) })
}

func names(v any) []string {
	var list []string
	for _, name := range v.([]any) {
		list = append(list, name.(string))
	}
	return list
}
