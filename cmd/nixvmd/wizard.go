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

	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
	"github.com/nixvm/nixvm/rpc"
	"github.com/nixvm/nixvm/vm"
)

// wizard asks for what create needs to know. Its fields are what was typed.
type wizard struct {
	app      *app
	machines []rpc.Machine
	profiles []rpc.Profile
	backends []rpc.Backend

	name, image, mode, backend, network string
	memory, vcpus, disk                 string
	chosen                              []string // profiles
}

// askCreate completes the parameters of a create by questions. With a name it
// shows what would be made and asks only whether that is right.
func (a *app) askCreate(ctx context.Context, p rpc.CreateParams) (rpc.CreateParams, error) {
	w, err := a.newWizard(ctx, p)
	if err != nil {
		return p, err
	}
	// The library could not ask at its start: see package calm.
	lipgloss.SetHasDarkBackground(termenv.NewOutput(os.Stderr).HasDarkBackground())
	config, err := vm.LoadConfig(a.layout.ConfigFile())
	if err != nil {
		return p, err
	}
	ask := w.name == ""
	if ask {
		if err := w.askName(ctx); err != nil {
			return p, err
		}
	}
	w.fill(config.Defaults)
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
		case next == "create":
			return w.apply(p)
		case next == "cancel":
			return p, nothingMade()
		}
		ask = true
	}
}

func nothingMade() error { return problem.New(problem.Cancelled, "nothing was made") }

func (a *app) newWizard(ctx context.Context, p rpc.CreateParams) (*wizard, error) {
	d, err := a.connect(ctx, "create", nil)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var machines rpc.MachineListResult
	var profiles rpc.ProfileListResult
	var backends rpc.BackendListResult
	if err := errors.Join(
		d.Call(ctx, rpc.MethodMachineList, rpc.NoParams{}, &machines),
		d.Call(ctx, rpc.MethodProfileList, rpc.NoParams{}, &profiles),
		d.Call(ctx, rpc.MethodBackendList, rpc.NoParams{}, &backends),
	); err != nil {
		return nil, err
	}
	w := &wizard{
		app: a, machines: machines.Machines, profiles: profiles.Profiles, backends: backends.Backends,
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
	if w.name != "" {
		return w, w.checkName(w.name)
	}
	return w, nil
}

// checkName accepts a name that can become a VM: new, or declared without one.
func (w *wizard) checkName(name string) error {
	if err := machine.ValidName(name); err != nil {
		return err
	}
	if i := slices.IndexFunc(w.machines, func(m rpc.Machine) bool { return m.Name == name }); i >= 0 && w.machines[i].State != "absent" {
		return problem.New(problem.MachineExists, "there is a VM named %s already", name).WithHint("choose another name, or remove it: nixvmd destroy %s", name)
	}
	return nil
}

// fill gives every field that was not asked for what the machine's own files
// say, else the default.
func (w *wizard) fill(d vm.Defaults) {
	if i := slices.IndexFunc(w.machines, func(m rpc.Machine) bool { return m.Name == w.name }); i >= 0 {
		m := w.machines[i]
		d = vm.Defaults{
			Image: m.Image.Kind, Profiles: m.Profiles, Mode: m.Mode, Memory: m.MemoryMiB, VCPUs: m.VCPUs,
			Disk: machine.FormatSize(m.DiskBytes), Network: m.Network,
		}
		setDefault(&w.backend, m.Backend)
	}
	setDefault(&w.image, d.Image)
	setDefault(&w.mode, d.Mode)
	setDefault(&w.memory, strconv.Itoa(d.Memory))
	setDefault(&w.vcpus, strconv.Itoa(d.VCPUs))
	setDefault(&w.disk, d.Disk)
	setDefault(&w.network, d.Network)
	if len(w.chosen) == 0 {
		w.chosen = slices.Clone(d.Profiles)
	}
	for _, b := range w.backends {
		if b.Default {
			setDefault(&w.backend, b.Name)
		}
	}
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// inline makes an error message of a validator fit beneath a field.
func inline[T any](check func(string) (T, error)) func(string) error {
	return func(s string) error {
		_, err := check(strings.TrimSpace(s))
		if err == nil {
			return nil
		}
		p := problem.From(err)
		if p.Hint == "" {
			return errors.New(p.Message)
		}
		return errors.New(p.Message + ": " + p.Hint)
	}
}

func (w *wizard) askName(ctx context.Context) error {
	return w.run(ctx, huh.NewGroup(
		huh.NewInput().Title("Name").Description("Also its name for ssh and the editors").Placeholder("claude-dev").Value(&w.name).
			Validate(inline(func(s string) (bool, error) { return true, w.checkName(s) })),
	))
}

// askRest asks in one form, in which one can go back. The profiles on offer depend
// on the image, so each image has its own question for them.
func (w *wizard) askRest(ctx context.Context) error {
	about, resources := w.aboutGroup(), w.resourcesGroup()
	if accessible() {
		// Line by line the library asks hidden questions too.
		if err := w.run(ctx, about); err != nil {
			return err
		}
		return w.run(ctx, w.profilesGroup(w.image), resources)
	}
	groups := []*huh.Group{about}
	for _, image := range w.imageOptions() {
		groups = append(groups, w.profilesGroup(image.Value).WithHideFunc(func() bool { return w.image != image.Value }))
	}
	return w.run(ctx, append(groups, resources)...)
}

func (w *wizard) aboutGroup() *huh.Group {
	about := []huh.Field{
		huh.NewSelect[string]().Title("Image").Options(w.imageOptions()...).Value(&w.image),
		huh.NewSelect[string]().Title("Mode").Options(modeOptions()...).Value(&w.mode),
	}
	if len(w.backends) > 1 {
		about = append(about, huh.NewSelect[string]().Title("Backend").Options(w.backendOptions()...).Value(&w.backend))
	}
	return huh.NewGroup(about...)
}

func (w *wizard) profilesGroup(image string) *huh.Group {
	return huh.NewGroup(huh.NewMultiSelect[string]().Title("Profiles").Description("Space selects, Enter goes on").
		Options(w.profileOptions(image)...).Value(&w.chosen))
}

func (w *wizard) resourcesGroup() *huh.Group {
	return huh.NewGroup(
		question("Memory", "MiB, or with a unit: 8G", &w.memory, inline(parseMemory)),
		question("CPUs", "", &w.vcpus, inline(parseCount)),
		question("Disk", "Size of the state disk; it takes only what is used", &w.disk, inline(machine.ParseSize)),
		question("Network", "nat, or bridge:<interface>", &w.network, inline(machine.ParseNetwork)),
	)
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
		huh.NewOption("NixOS where it can be built, else the trial guest", ""),
		huh.NewOption("nixos: NixOS, built with nix", "nixos"),
		huh.NewOption("trial: a small Debian, for trying nixvm out", "trial"),
	}
	if w.image != "" && w.image != "nixos" && w.image != "trial" {
		options = append(options, huh.NewOption(w.image, w.image))
	}
	return options
}

func modeOptions() []huh.Option[string] {
	return []huh.Option[string]{
		huh.NewOption("immutable: read-only system, all state on its own disk", nixbuild.Immutable),
		huh.NewOption("semi-mutable: the same, with a writable /nix", nixbuild.SemiMutable),
		huh.NewOption("mutable: one disk, changed from the inside", nixbuild.Mutable),
	}
}

func (w *wizard) backendOptions() []huh.Option[string] {
	options := make([]huh.Option[string], 0, len(w.backends))
	for _, b := range w.backends {
		options = append(options, huh.NewOption(b.Name+" ("+b.Type+")", b.Name))
	}
	return options
}

func (w *wizard) profileOptions(image string) []huh.Option[string] {
	var options []huh.Option[string]
	for _, p := range w.profiles {
		has := slices.Contains(p.Images, image) || (image != "nixos" && image != "trial")
		if has && p.Name != nixbuild.Core {
			options = append(options, huh.NewOption(p.Name+": "+p.Description, p.Name))
		}
	}
	return options
}

// summary shows what would be made and asks what to do.
func (w *wizard) summary(ctx context.Context) (next string, err error) {
	image := w.image
	if image == "" {
		image = "nixos, or trial where it cannot be built"
	}
	e := w.app.err
	fmt.Fprintln(e)
	fields(e,
		[2]string{"Name", w.name}, [2]string{"Image", image + ", " + w.mode}, [2]string{"Profiles", orNone(strings.Join(w.chosen, ", "))},
		[2]string{"Memory", memoryText(w.memory)}, [2]string{"CPUs", w.vcpus}, [2]string{"Disk", w.disk}, [2]string{"Network", w.network},
		[2]string{"Backend", w.backend},
	)
	fmt.Fprintln(e)
	err = w.run(ctx, huh.NewGroup(huh.NewSelect[string]().Title("Create "+w.name+"?").Value(&next).Options(
		huh.NewOption("Create it", "create"), huh.NewOption("Change something", "change"), huh.NewOption("Cancel", "cancel"),
	)))
	return next, err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func memoryText(s string) string {
	if n, err := parseMemory(s); err == nil {
		return strconv.Itoa(n) + " MiB"
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

// apply puts the answers into the request.
func (w *wizard) apply(p rpc.CreateParams) (rpc.CreateParams, error) {
	p.Name, p.Image, p.Mode, p.Backend, p.Network, p.Profiles = w.name, w.image, w.mode, w.backend, strings.TrimSpace(w.network), w.chosen
	var err error
	if p.MemoryMiB, err = optional(strings.TrimSpace(w.memory), parseMemory); err != nil {
		return p, fmt.Errorf("memory: %w", err)
	}
	if p.VCPUs, err = optional(strings.TrimSpace(w.vcpus), parseCount); err != nil {
		return p, fmt.Errorf("CPUs: %w", err)
	}
	if p.DiskBytes, err = optional(strings.TrimSpace(w.disk), machine.ParseSize); err != nil {
		return p, fmt.Errorf("disk: %w", err)
	}
	return p, nil
}
