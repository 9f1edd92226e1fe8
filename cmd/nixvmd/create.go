package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/names"
	"github.com/nixvm/nixvm/internal/problem"
	"github.com/nixvm/nixvm/machine"
	"github.com/nixvm/nixvm/nixbuild"
)

// createFlags are the flags of create, as typed.
type createFlags struct {
	resourceFlags
	profiles                      []string
	imageSum                      string
	image, mode, network, backend string
	keyFiles, cidrs, forwards     []string
	ports, pci                    []string
	autostart                     bool
	noStart, yes, detach, declare bool
}

func newCreate(a *app) *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use:   "create [NAME]",
		Short: "Create a VM, boot it and give it an SSH name",
		Long: `Create a VM, boot it, give it an SSH name, and wait until it is ready.

On a terminal, create prompts for options; with --yes, or without a terminal, it
does not. Unset options default to config.toml, or to the existing machine's
settings.

With --declare, create only writes the machine directory: nixvmd create NAME or
nixvmd start NAME creates the VM later.`,
		Example: `  nixvmd create
  nixvmd create demo --profiles claude,dev --memory 8192 --yes`,
		Args: takes("[NAME]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			params, err := f.params(args)
			if err != nil {
				return err
			}
			params.Autostart = given(cmd, "autostart", f.autostart)
			if a.interactive() && !f.yes {
				if params, err = a.askCreate(cmd.Context(), params); err != nil {
					return err
				}
			}
			if params.Name == "" {
				return problem.New(problem.BadParams, "NAME is missing").WithHint("nixvmd create NAME --profiles claude,dev")
			}
			return a.create(cmd.Context(), params, f.detach)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.profiles, "profiles", nil, "comma-separated profiles `A,B` (listed by nixvmd profiles)")
	flags.StringVar(&f.image, "image", "", "trial, nixos, or an `IMAGE`: a file, or an URL with --image-sha256")
	flags.StringVar(&f.imageSum, "image-sha256", "", "expected SHA-256 digest, `HEX`, of an image given by URL")
	flags.StringVar(&f.mode, "mode", "", "`MODE`: immutable, semi-mutable or mutable")
	f.add(flags, "size of the state disk, `SIZE`, e.g. 30G")
	flags.StringVar(&f.network, "network", "", "`NETWORK`: nat or bridge:<interface>")
	flags.StringVar(&f.backend, "backend", "", "create the VM on the backend `NAME`")
	flags.StringArrayVar(&f.keyFiles, "authorized-key", nil, "authorize the SSH public keys in `FILE`, in addition to nixvm's own; may be repeated")
	flags.StringArrayVar(&f.cidrs, "allow-cidr", nil, "allow this private network, e.g. `192.168.1.0/24`; may be repeated")
	flags.StringArrayVar(&f.ports, "tcp-port", nil, "open TCP `PORT` in the guest's firewall; may be repeated")
	flags.StringArrayVar(&f.pci, "pci", nil, "pass the PCI device with this `ADDRESS` through to the VM (listed by nixvmd pci); may be repeated")
	flags.StringArrayVar(&f.forwards, "remote-forward", nil, "forward a guest port to the host, `\"PORT HOST:PORT\"`; may be repeated")
	flags.BoolVar(&f.autostart, "autostart", false, "start the VM when its host boots, if the backend supports that")
	flags.BoolVar(&f.noStart, "no-start", false, "create the VM without booting it")
	flags.BoolVar(&f.declare, "declare", false, "only write the machine directory; create the VM later")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not prompt")
	detachFlag(cmd, &f.detach)
	completeFlags(a, cmd)
	return cmd
}

// detachFlag adds --detach to a verb that begins an operation.
func detachFlag(cmd *cobra.Command, detach *bool) {
	cmd.Flags().BoolVar(detach, "detach", false, "start the operation, print its id, and return without waiting")
}

// params checks the flags as far as that needs no daemon.
func (f createFlags) params(args []string) (api.CreateParams, error) {
	p := api.CreateParams{
		Work: api.Work{Detach: true}, Profiles: trimmed(f.profiles), Mode: f.mode, Network: f.network, Backend: f.backend,
		AllowedCIDRs: f.cidrs, RemoteForwards: f.forwards, PCIDevices: f.pci, NoStart: f.noStart, Declare: f.declare,
	}
	if len(args) > 0 {
		p.Name = args[0]
		if err := names.NewMachine(p.Name); err != nil {
			return p, err
		}
	}
	var err error
	if p.Image, err = imagePath(f.image); err != nil {
		return p, err
	}
	if f.imageSum != "" {
		if !nixbuild.IsURL(p.Image) {
			return p, problem.New(problem.BadParams, "--image-sha256 is for an --image that is an URL").
				WithHint("a file is digested when it is imported, and verified from then on")
		}
		p.Image += "#sha256=" + f.imageSum
	}
	if p.MemoryMiB, p.VCPUs, p.DiskBytes, err = f.parse(); err != nil {
		return p, err
	}
	if p.TCPPorts, err = parsePorts("--tcp-port", f.ports); err != nil {
		return p, err
	}
	p.AuthorizedKeys, err = readKeys("--authorized-key", f.keyFiles)
	return p, err
}

// trimmed takes "a, b" for what was meant.
func trimmed(words []string) []string {
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	return words
}

// imagePath makes a file absolute: the daemon works somewhere else. What has no
// slash is the name of a kind of image, unless a file is called so.
func imagePath(image string) (string, error) {
	if image == "" || filepath.IsAbs(image) || nixbuild.IsURL(image) {
		return image, nil
	}
	if !strings.ContainsRune(image, filepath.Separator) {
		if image == "trial" || image == "nixos" || !exists(image) {
			return image, nil
		}
	}
	abs, err := filepath.Abs(image)
	if err != nil {
		return "", fmt.Errorf("--image %s: %w", image, err)
	}
	return abs, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// given is a switch that was named; nil when it was not.
func given(cmd *cobra.Command, flag string, value bool) *bool {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	return &value
}

func parsePorts(flag string, words []string) ([]uint16, error) {
	if words == nil {
		return nil, nil
	}
	ports := []uint16{}
	for _, w := range words {
		port, err := machine.ParsePort(w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// readKeys reads the public keys of authorized_keys or .pub files.
func readKeys(flag string, files []string) ([]string, error) {
	var keys []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, problem.New(problem.BadParams, "%s: %s", flag, problem.Path(err)).WithHint("give a file with public keys, e.g. ~/.ssh/id_ed25519.pub")
		}
		if strings.Contains(string(content), "PRIVATE KEY-----") {
			return nil, problem.New(problem.BadParams, "%s: %s is a private key", flag, file).WithHint("give the public one: %s.pub", file)
		}
		for line := range strings.Lines(string(content)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				keys = append(keys, line)
			}
		}
	}
	return keys, nil
}

func (a *app) create(ctx context.Context, params api.CreateParams, detach bool) error {
	result, err := a.operate(ctx, "create", api.MethodVMCreate, params, detach)
	if err != nil {
		return err
	}
	return a.printMade(result, params.Name, detach)
}

// printMade prints how to reach the VM that an operation has made.
func (a *app) printMade(result api.OperationResult, name string, detach bool) error {
	return a.printOperation(result, detach, func(w io.Writer) {
		switch m := result.VM; {
		case m == nil:
			fmt.Fprintf(w, "%s is made\n", name)
		case m.State == "absent":
			fmt.Fprintf(w, "%s is declared; nixvmd create %s creates its VM\n", m.Name, m.Name)
		case m.SSHHost == "":
			fmt.Fprintf(w, "%s has been created, but has no SSH name; see nixvmd status %s\n", m.Name, m.Name)
		case m.State != "running":
			fmt.Fprintf(w, "%s has been created and starts when you connect: ssh %s\n", m.Name, m.SSHHost)
		default:
			fmt.Fprintf(w, "%s is ready: ssh %s\n", m.Name, m.SSHHost)
		}
	})
}

// printOperation prints what came of an operation, or, detached, its id.
func (a *app) printOperation(result api.OperationResult, detach bool, text func(io.Writer)) error {
	return a.print(result, func(w io.Writer) {
		if detach {
			fmt.Fprintln(w, result.Operation.ID)
			return
		}
		text(w)
	})
}
