package pvesim

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

// schemaText is the part of the official schema of Proxmox VE 9.1 that the
// simulator answers: `go test -run Schema -update` writes it anew from the
// official file. Dictionaries that several parameters share stand once.
//
//go:embed schema.json
var schemaText []byte

// A schema is the parameters and permissions of the methods.
type schema struct {
	// Dictionaries are the formats of property strings such as net0, by the
	// name that property.Dictionary gives.
	Dictionaries map[string]map[string]*property `json:"dictionaries"`
	// Methods are named like "GET /nodes/{node}/status".
	Methods map[string]*method `json:"methods"`
}

// A method is what the schema says of a path and an HTTP method.
type method struct {
	Parameters map[string]*property `json:"parameters,omitempty"`
	// Check is the expression of permissions, such as
	// ["perm", "/vms/{vmid}", ["VM.Audit"]]; without one, any user may call it,
	// and the handler checks the rest.
	Check []any `json:"check,omitempty"`
	// World is set where a caller needs no credentials.
	World bool `json:"world,omitempty"`
	// Node is set where the request is forwarded to the node in the path.
	Node bool `json:"node,omitempty"`
}

// A property is a parameter or a member of a dictionary.
type property struct {
	Type       string   `json:"type,omitempty"`
	Optional   bool     `json:"optional,omitempty"`
	Enum       []string `json:"enum,omitempty"`
	Format     string   `json:"format,omitempty"`     // a named one
	Dictionary string   `json:"dictionary,omitempty"` // a property string
	Pattern    string   `json:"pattern,omitempty"`
	Minimum    *float64 `json:"minimum,omitempty"`
	Maximum    *float64 `json:"maximum,omitempty"`
	MinLength  int      `json:"minLength,omitempty"`
	MaxLength  int      `json:"maxLength,omitempty"`
	Requires   string   `json:"requires,omitempty"`
	Alias      string   `json:"alias,omitempty"`
	KeyAlias   string   `json:"keyAlias,omitempty"`
	DefaultKey bool     `json:"default_key,omitempty"`
}

func loadSchema() (*schema, error) {
	s := new(schema)
	if err := json.Unmarshal(schemaText, s); err != nil {
		return nil, fmt.Errorf("read the embedded schema: %w", err)
	}
	return s, nil
}

// lookup finds a parameter by its name, where net3 belongs to net[n].
func lookup(properties map[string]*property, name string) *property {
	if p := properties[name]; p != nil {
		return p
	}
	family := strings.TrimRight(name, "0123456789")
	if family == name {
		return nil
	}
	return properties[family+"[n]"]
}
