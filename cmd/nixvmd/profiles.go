package main

import (
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newProfiles(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "profiles", Short: "List the available profiles",
		Long: `List the available profiles, including your own: each is a file in the directory
profiles of the flake, whose first line describes it.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r api.ProfileListResult
			if err := a.ask(cmd.Context(), "profiles", api.MethodProfileList, api.NoParams{}, &r); err != nil {
				return err
			}
			a.note("add your own profiles in %s", filepath.Join(a.layout.Flake(), "profiles"))
			return a.print(r, func(w io.Writer) {
				rows := make([][]string, 0, len(r.Profiles))
				for _, p := range r.Profiles {
					rows = append(rows, []string{p.Name, strings.Join(p.Images, ","), strings.Join(p.Requires, ","), p.Description})
				}
				table(w, []string{"PROFILE", "IMAGES", "REQUIRES", "DESCRIPTION"}, rows)
			})
		},
	}
}
