package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/huh"
	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
)

// wizard asks for what create needs to know. Its fields are what was typed; what
// that means, and what is wrong with it, the daemon says.
type wizard struct {
	app      *app
	daemon   daemon
	params   api.CreateParams // what was given on the command line
	profiles []api.Profile
	backends []api.Backend

	name, image, mode, backend, network string
	memory, vcpus, disk                 string
	chosen                              []string // profiles
	byDefault                           string   // what no image in particular comes to
}

// askCreate completes the parameters of a create by questions. With a name it
// shows what would be made and asks only whether that is right.
func (a *app) askCreate(ctx context.Context, p api.CreateParams) (api.CreateParams, error) {
	d, err := a.connect(ctx, "create", nil)
	if err != nil {
		return p, err
	}
	defer d.Close()
	w, err := newWizard(ctx, a, d, p)
	if err != nil {
		return p, err
	}
	// The library could not ask at its start: see package calm.
	lipgloss.SetHasDarkBackground(termenv.NewOutput(os.Stderr).HasDarkBackground())
	ask := w.name == ""
	if ask {
		if err := w.askName(ctx); err != nil {
			return p, err
		}
	}
	if err := w.fill(ctx); err != nil {
		return p, err
	}
	for {
		if ask {
			if err := w.askRest(ctx); err != nil {
				return p, err
			}
		}
		next, err := w.summary(ctx)
		switch {
		case err != nil:
			return p, err
		case next == "cancel":
			return p, nothingMade()
		case next == "create":
			// What was fine where it was typed may not be so with the rest.
			if p, wrong, err := w.apply(ctx); err != nil || wrong == "" {
				return p, err
			} else if _, err := fmt.Fprintln(a.err, wrong); err != nil {
				return p, fmt.Errorf("ask: %w", err)
			}
		}
		ask = true
	}
}

func nothingMade() error { return problem.New(problem.Cancelled, "nothing was created") }

func newWizard(ctx context.Context, a *app, d daemon, p api.CreateParams) (*wizard, error) {
	var profiles api.ProfileListResult
	var backends api.BackendListResult
	if err := errors.Join(
		d.Call(ctx, api.MethodProfileList, api.NoParams{}, &profiles),
		d.Call(ctx, api.MethodBackendList, api.NoParams{}, &backends),
	); err != nil {
		return nil, err
	}
	w := &wizard{
		app: a, daemon: d, params: p, profiles: profiles.Profiles, backends: backends.Backends,
		name: p.Name, image: p.Image, mode: p.Mode, backend: p.Backend, network: p.Network, chosen: p.Profiles,
	}
	if p.MemoryMiB != nil {
		w.memory = strconv.Itoa(*p.MemoryMiB)
	}
	if p.VCPUs != nil {
		w.vcpus = strconv.Itoa(*p.VCPUs)
	}
	if p.DiskBytes != nil {
		w.disk = machine.FormatSize(*p.DiskBytes)
	}
	return w, nil
}

func (w *wizard) askName(ctx context.Context) error {
	return w.run(ctx, huh.NewGroup(
		huh.NewInput().Title("Name").Description("Also its SSH name, used by the editors").Placeholder("claude-dev").Value(&w.name).
			Validate(w.rule(ctx, "name", func(d *api.DraftParams, s string) { d.Name = s })),
	))
}

// askRest asks in one form, in which one can go back. The profiles on offer depend
// on the image, so each image has its own question for them.
func (w *wizard) askRest(ctx context.Context) error {
	about, resources := w.aboutGroup(ctx), w.resourcesGroup(ctx)
	if accessible() {
		// Line by line the library asks hidden questions too.
		if err := w.run(ctx, about); err != nil {
			return err
		}
		profiles, err := w.profilesGroup(ctx, w.image)
		if err != nil {
			return err
		}
		return w.run(ctx, profiles, resources)
	}
	groups := []*huh.Group{about}
	for _, image := range w.imageOptions() {
		profiles, err := w.profilesGroup(ctx, image.Value)
		if err != nil {
			return err
		}
		groups = append(groups, profiles.WithHideFunc(func() bool { return w.image != image.Value }))
	}
	return w.run(ctx, append(groups, resources)...)
}

func (w *wizard) aboutGroup(ctx context.Context) *huh.Group {
	about := []huh.Field{
		huh.NewSelect[string]().Title("Image").Options(w.imageOptions()...).Value(&w.image).
			Validate(w.rule(ctx, "image", func(d *api.DraftParams, s string) { d.Image, d.Profiles, d.Mode = s, nil, "" })),
		huh.NewSelect[string]().Title("Mode").Options(modeOptions()...).Value(&w.mode).
			Validate(w.rule(ctx, "mode", func(d *api.DraftParams, s string) { d.Mode, d.Profiles = s, nil })),
	}
	if len(w.backends) > 1 {
		about = append(about, huh.NewSelect[string]().Title("Backend").Options(w.backendOptions()...).Value(&w.backend).
			Validate(w.rule(ctx, "backend", func(d *api.DraftParams, s string) { d.Backend = s })))
	}
	return huh.NewGroup(about...)
}

// profilesGroup offers the profiles that an image can have.
func (w *wizard) profilesGroup(ctx context.Context, image string) (*huh.Group, error) {
	d := w.draft()
	d.Image, d.Profiles, d.Mode = image, nil, ""
	checked, err := w.check(ctx, d)
	if err != nil {
		return nil, err
	}
	var options []huh.Option[string]
	for _, name := range checked.Fields["profiles"].Choices {
		about := name
		if i := slices.IndexFunc(w.profiles, func(p api.Profile) bool { return p.Name == name }); i >= 0 {
			about += ": " + w.profiles[i].Description
		}
		options = append(options, huh.NewOption(about, name))
	}
	if len(options) == 0 { // an image that does not say what it has
		for _, p := range w.profiles {
			if p.Name != nixbuild.Core {
				options = append(options, huh.NewOption(p.Name+": "+p.Description, p.Name))
			}
		}
	}
	return huh.NewGroup(huh.NewMultiSelect[string]().Title("Profiles").Description("Space selects, Enter continues").
		Options(options...).Value(&w.chosen).Validate(func(chosen []string) error {
		d := w.draft()
		d.Image, d.Profiles = image, chosen
		return w.verdict(ctx, "profiles", d)
	})), nil
}

func (w *wizard) resourcesGroup(ctx context.Context) *huh.Group {
	return huh.NewGroup(
		question("Memory", "With a unit: 4G; a bare number means MiB", &w.memory, w.rule(ctx, "memoryMiB", func(d *api.DraftParams, s string) { d.MemoryMiB = s })),
		question("CPUs", "", &w.vcpus, w.rule(ctx, "vcpus", func(d *api.DraftParams, s string) { d.VCPUs = s })),
		question("Disk", "Size of the state disk; space is allocated as it is used", &w.disk, w.rule(ctx, "diskBytes", func(d *api.DraftParams, s string) { d.DiskBytes = s })),
		question("Network", "nat, or bridge:<interface>", &w.network, w.rule(ctx, "network", func(d *api.DraftParams, s string) { d.Network = s })).
			SuggestionsFunc(func() []string { return w.networks(ctx) }, &w.backend),
	)
}

// networks are those that the chosen backend has.
func (w *wizard) networks(ctx context.Context) []string {
	list := []string{"nat"}
	ctx, cancel := context.WithTimeout(ctx, completionLimit)
	defer cancel()
	var r api.BridgeListResult
	if err := w.daemon.Call(ctx, api.MethodBackendBridges, api.BridgeListParams{Backend: w.backend}, &r); err != nil {
		return list // they are only suggestions
	}
	for _, b := range r.Bridges {
		list = append(list, "bridge:"+clean(b.Name))
	}
	return list
}

// question asks for a line, and offers what value holds.
func question(title, description string, value *string, check func(string) error) *huh.Input {
	if accessible() && *value != "" {
		// Line by line the library shows neither the description nor the offer, and
		// takes the offer for an empty line only if that passes the check.
		whole := check
		check = func(s string) error {
			if strings.TrimSpace(s) == "" {
				return nil
			}
			return whole(s)
		}
		if description != "" {
			title += " (" + description + ")"
		}
		title += " [" + *value + "]:"
	}
	return huh.NewInput().Title(title).Description(description).Value(value).Validate(check)
}

func (w *wizard) imageOptions() []huh.Option[string] {
	options := []huh.Option[string]{
		huh.NewOption("default: "+w.byDefault, ""),
		huh.NewOption("nixos: NixOS, built with nix", "nixos"),
		huh.NewOption("trial: a small Debian, for trying nixvm", "trial"),
	}
	if w.image != "" && w.image != "nixos" && w.image != "trial" {
		options = append(options, huh.NewOption(w.image, w.image))
	}
	return options
}

func modeOptions() []huh.Option[string] {
	options := make([]huh.Option[string], 0, len(modes))
	for _, m := range modes {
		options = append(options, huh.NewOption(m[0]+": "+m[1], m[0]))
	}
	return options
}

func (w *wizard) backendOptions() []huh.Option[string] {
	options := make([]huh.Option[string], 0, len(w.backends))
	for _, b := range w.backends {
		options = append(options, huh.NewOption(b.Name+" ("+b.Type+")", b.Name))
	}
	return options
}

// summary shows what would be made and asks what to do.
func (w *wizard) summary(ctx context.Context) (next string, err error) {
	image := w.image
	if image == "" {
		image = w.byDefault
	}
	e := w.app.err
	fmt.Fprintln(e)
	fields(e,
		[2]string{"Name", w.name}, [2]string{"Image", image + ", " + w.mode}, [2]string{"Profiles", orNone(strings.Join(w.chosen, ", "))},
		[2]string{"Memory", w.memory}, [2]string{"CPUs", w.vcpus}, [2]string{"Disk", w.disk}, [2]string{"Network", w.network},
		[2]string{"Backend", w.backend},
	)
	fmt.Fprintln(e)
	verb := "Create"
	if w.params.Declare {
		verb = "Declare"
	}
	err = w.run(ctx, huh.NewGroup(huh.NewSelect[string]().Title(verb+" "+w.name+"?").Value(&next).Options(
		huh.NewOption(verb+" it", "create"), huh.NewOption("Change something", "change"), huh.NewOption("Cancel", "cancel"),
	)))
	return next, err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (w *wizard) run(ctx context.Context, groups ...*huh.Group) error {
	form := huh.NewForm(groups...).WithInput(w.app.in).WithOutput(w.app.err)
	lines := &untilEnd{Reader: w.app.in}
	if accessible() {
		form = form.WithAccessible(true).WithInput(lines)
	}
	err := form.RunWithContext(ctx)
	if errors.Is(err, huh.ErrUserAborted) || lines.ended {
		return nothingMade()
	}
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	return nil
}

// untilEnd remembers the end of the input (C-d), which the library, line by line,
// takes for Enter.
type untilEnd struct {
	io.Reader
	ended bool
}

func (u *untilEnd) Read(p []byte) (int, error) {
	if u.ended {
		return 0, io.EOF
	}
	n, err := u.Reader.Read(p)
	u.ended = errors.Is(err, io.EOF)
	return n, err //nolint:wrapcheck // readers compare it
}

// accessible reports whether questions must come line by line, for a screen
// reader or a terminal that cannot move its cursor.
func accessible() bool { return os.Getenv("ACCESSIBLE") != "" || os.Getenv("TERM") == "dumb" }
