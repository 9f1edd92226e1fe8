package pvesim

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// validate checks the parameters by the schema, and turns booleans into 0 and 1.
func (s *schema) validate(m *method, p *params) error {
	wrong := map[string]string{}
	for _, name := range p.names() {
		property := lookup(m.Parameters, name)
		if property == nil {
			wrong[name] = undefined
			continue
		}
		if property.Requires != "" && !p.has(property.Requires) {
			wrong[property.Requires] = fmt.Sprintf("missing property required by '%s'", name) // upload 11
		}
		if property.Type == "array" {
			continue
		}
		value, message := s.check(property, name, p.get(name))
		if message != "" {
			wrong[name] = message
		}
		p.values[name] = value
	}
	for name, property := range m.Parameters {
		if !property.Optional && !strings.HasSuffix(name, "[n]") && !p.has(name) && wrong[name] == "" {
			wrong[name] = missing
		}
	}
	if len(wrong) > 0 {
		return invalid(wrong)
	}
	return nil
}

const (
	undefined = "property is not defined in schema and the schema does not allow additional properties" // recorded 34
	missing   = "property is missing and it is not optional"                                            // recorded 36
)

// check returns the value in its normal form, and what is wrong with it.
func (s *schema) check(p *property, name, value string) (normal, message string) {
	switch p.Type {
	case "boolean":
		normal, ok := boolean(value)
		if !ok {
			return value, wrongType(p, value)
		}
		return normal, ""
	case "integer", "number":
		return value, checkNumber(p, value)
	case "string":
		return value, s.checkString(p, name, value)
	}
	return value, ""
}

func wrongType(p *property, value string) string {
	return fmt.Sprintf("type check ('%s') failed - got '%s'", p.Type, value) // recorded 34
}

// boolean knows the spellings of PVE::JSONSchema (source).
func boolean(value string) (normal string, ok bool) {
	switch strings.ToLower(value) {
	case "1", "on", "yes", "true":
		return "1", true
	case "0", "off", "no", "false":
		return "0", true
	}
	return value, false
}

func checkNumber(p *property, value string) string {
	n, err := strconv.ParseFloat(value, 64)
	if p.Type == "integer" && err == nil {
		_, err = strconv.ParseInt(value, 10, 64)
	}
	switch {
	case err != nil:
		return wrongType(p, value)
	case p.Minimum != nil && n < *p.Minimum:
		return fmt.Sprintf("value must have a minimum value of %g", *p.Minimum) // source
	case p.Maximum != nil && n > *p.Maximum:
		return fmt.Sprintf("value must have a maximum value of %.0f", *p.Maximum) // source
	}
	return ""
}

func (s *schema) checkString(p *property, name, value string) string {
	if p.Dictionary != "" {
		if _, err := s.parse(p.Dictionary, name, value); err != nil {
			return "invalid format - " + err.Error() + "\n" // recorded 34
		}
	} else if err := checkFormat(p.Format, value); err != nil {
		return "invalid format - " + err.Error() + "\n" // recorded 36
	}
	if p.MaxLength > 0 && len(value) > p.MaxLength {
		return fmt.Sprintf("value may only be %d characters long", p.MaxLength) // recorded 615
	}
	if len(value) < p.MinLength {
		return fmt.Sprintf("value must be at least %d characters long", p.MinLength) // source
	}
	if p.Pattern != "" && !matches(p.Pattern, value) {
		return "value does not match the regex pattern" // recorded 634
	}
	if p.Enum != nil && !slices.Contains(p.Enum, value) {
		return fmt.Sprintf("value '%s' does not have a value in the enumeration '%s'", value, strings.Join(p.Enum, ", ")) // recorded 34
	}
	return ""
}

// matches matches a Perl pattern, whose (?^:...) is Go's (?:...).
func matches(pattern, value string) bool {
	compiled, err := regexp.Compile("^(?:" + strings.ReplaceAll(pattern, "(?^:", "(?:") + ")$")
	return err == nil && compiled.MatchString(value)
}
