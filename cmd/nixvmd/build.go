package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/problem"
)

func newBuild(a *app) *cobra.Command {
	p, detach := api.ImageBuildParams{Work: api.Work{Detach: true}}, false
	cmd := &cobra.Command{
		Use:   "build [PROFILES]",
		Short: "Build an image without creating a VM",
		Long: `Build an image ahead of time, so that create does not have to. PROFILES is a
comma-separated list (see nixvmd profiles). Unset options default to config.toml.

An existing image is not built again. C-c cancels the build; what nix has built
so far is reused by the next one.`,
		Example: `  nixvmd build claude,dev
  nixvmd build docker --mode semi-mutable --image nixos`,
		Args:              takes("[PROFILES]"),
		ValidArgsFunction: a.completeFirst(a.completeProfiles),
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.Image != "" {
				// The same word as for create; here only what is to be built makes sense.
				path, err := imagePath(p.Image)
				if err != nil {
					return err
				}
				if path != p.Image {
					return problem.New(problem.BadParams, "%s is already an image", p.Image).WithHint("create takes it: nixvmd create NAME --image %s", p.Image)
				}
			}
			for _, list := range args {
				p.Profiles = append(p.Profiles, trimmed(strings.Split(list, ","))...)
			}
			result, err := a.operate(cmd.Context(), "build", api.MethodImageBuild, p, detach)
			if err != nil {
				return err
			}
			return a.printOperation(result, detach, func(w io.Writer) { fmt.Fprintln(w, result.Operation.Image) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&p.Image, "image", "", "kind of image, `IMAGE`: nixos or trial")
	flags.StringVar(&p.Mode, "mode", "", "`MODE` of the image: immutable, semi-mutable or mutable")
	detachFlag(cmd, &detach)
	completeFlags(a, cmd)
	return cmd
}
