package backends

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/nixvm/nixvm/internal/paths"
	"github.com/nixvm/nixvm/internal/problem"
)

// Driver is a type of backend: it reads the settings of one from config.toml and
// opens it. Package all lists those of this program.
type Driver struct {
	// Type is the setting type of its backends, and what their Type returns.
	Type string
	// Configure reads and checks the settings of a backend. Nothing is opened or
	// looked for. What is wrong is config.invalid, with the line where there is one.
	Configure func(Settings) (Opener, error)
}

// Opener opens a backend whose settings have been read.
type Opener func(Site) (Backend, error)

// Site is where a backend is opened.
type Site struct {
	Name   string // configured name
	Layout paths.Layout
	Log    *slog.Logger
}

// NewDriver makes a driver whose settings are the fields of C with toml tags. check
// returns what is wrong with them, as the end of a sentence, or nil.
func NewDriver[C any](kind string, check func(C) error, open func(Site, C) (Backend, error)) Driver {
	return Driver{Type: kind, Configure: func(s Settings) (Opener, error) {
		var c C
		if err := s.decode(&c); err != nil {
			return nil, err
		}
		if err := check(c); err != nil {
			text := err.Error()
			if p := problem.From(err); p.Hint != "" {
				text += "; " + p.Hint
			}
			return nil, s.invalid("%s: backends.%s: %s", s.file, s.name, text)
		}
		return func(site Site) (Backend, error) { return open(site, c) }, nil
	}}
}

// Settings is the table [backends.NAME] of a configuration file.
type Settings struct {
	file string // for messages
	text []byte // the whole file, so that errors name lines of it
	name string
}

// NewSettings takes the text of a TOML file, which must be one, and the name of a
// backend in it.
func NewSettings(file string, text []byte, name string) Settings {
	return Settings{file: file, text: text, name: name}
}

// decode fills in a struct from the table. Its key "type", which chose the driver,
// is left aside; a key that the struct does not have is an error.
func (s Settings) decode(into any) error {
	// The decoder knows lines of the whole file only: it gets a struct that has
	// nothing but this table, and what it says of the others is passed over.
	table := reflect.TypeOf(into).Elem()
	named := reflect.StructOf([]reflect.StructField{{Name: "Table", Type: table, Tag: tag(s.name)}})
	file := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Backends", Type: named, Tag: tag("backends")}}))
	err := toml.NewDecoder(bytes.NewReader(s.text)).DisallowUnknownFields().Decode(file.Interface())
	reflect.ValueOf(into).Elem().Set(file.Elem().Field(0).Field(0))
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		for _, e := range unknown.Errors {
			if key := e.Key(); len(key) > 2 && key[0] == "backends" && key[1] == s.name && key[2] != "type" {
				row, _ := e.Position()
				return s.invalid("%s:%d: a backend of this type has no setting %q", s.file, row, strings.Join(key, "."))
			}
		}
	case errors.As(err, &wrong):
		row, column := wrong.Position()
		return s.invalid("%s:%d:%d: %w", s.file, row, column, err)
	case err != nil:
		return s.invalid("%s: %w", s.file, err)
	}
	return nil
}

func tag(key string) reflect.StructTag { return reflect.StructTag(fmt.Sprintf("toml:%q", key)) }

func (s Settings) invalid(format string, args ...any) error {
	return problem.New(problem.ConfigInvalid, format, args...).WithHint("docs/configuration.md lists the settings")
}
