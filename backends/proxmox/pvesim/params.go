package pvesim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// params are the parameters of a call as text: a boolean is 0 or 1.
type params struct {
	values map[string]string
	lists  map[string][]string
}

func (p *params) get(name string) string { return p.values[name] }

func (p *params) has(name string) bool { _, ok := p.values[name]; return ok }

func (p *params) flag(name string) bool { return p.values[name] == "1" }

// number is that of a parameter which the schema found to be an integer.
func (p *params) number(name string) int { n, _ := strconv.Atoi(p.values[name]); return n }

func (p *params) names() []string {
	names := sortedKeys(p.values)
	for name := range p.lists {
		if !p.has(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// rest are the parameters except the given ones.
func (p *params) rest(without ...string) map[string]string {
	rest := map[string]string{}
	for name, value := range p.values {
		if !slices.Contains(without, name) {
			rest[name] = value
		}
	}
	return rest
}

func (p *params) addForm(text string) error {
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(part, "=")
		key, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return failf("%v", err)
		}
		p.add(key, value)
	}
	return nil
}

func (p *params) add(name, value string) {
	p.lists[name] = append(p.lists[name], value)
	p.values[name] = value
}

func (p *params) addJSON(body []byte) error {
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		// The real text is that of the Perl decoder (recorded 40).
		return &apiError{status: 500, message: err.Error(), text: true}
	}
	for name, value := range object {
		switch value := value.(type) {
		case []any:
			for _, element := range value {
				p.add(name, fmt.Sprint(element))
			}
		case bool:
			p.add(name, map[bool]string{true: "1", false: "0"}[value])
		case nil:
		default:
			p.add(name, fmt.Sprint(value))
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func decode64(text string) (string, error) {
	plain, err := base64.StdEncoding.DecodeString(text)
	return string(plain), err
}
