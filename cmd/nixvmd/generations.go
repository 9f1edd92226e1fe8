package main

import (
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/api"
)

func newGenerations(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "generations NAME", Short: "List the images that a VM can boot from",
		Long: `List the generations of a VM: the images that it has booted from since it was
created, as far as they are kept for nixvmd rollback. The setting keep_generations
in config.toml determines how many are kept.`,
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			var r api.GenerationListResult
			err := a.ask(cmd.Context(), "generations", api.MethodGenerationList, api.MachineParams{Name: args[0]}, &r)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) { generationTable(w, r.Generations) })
		},
	}
}

func generationTable(w io.Writer, list []api.Generation) {
	rows := make([][]string, 0, len(list))
	for _, g := range list {
		number, image := strconv.Itoa(g.Number), g.Image.ID
		if g.Current {
			number += " (current)"
		}
		if g.Missing {
			image += " (removed)"
		}
		rows = append(rows, []string{number, g.Since.Local().Format("2006-01-02 15:04:05"), image, g.Image.Version, strings.Join(g.Profiles, ",")})
	}
	table(w, []string{"GENERATION", "SINCE", "IMAGE", "VERSION", "PROFILES"}, rows)
}

// completeGenerations completes a name, and then its former generations.
func (a *app) completeGenerations(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completeNames(cmd, args, word)
	}
	var r api.GenerationListResult
	if !a.lookup(cmd, api.MethodGenerationList, api.MachineParams{Name: args[0]}, &r) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, g := range r.Generations {
		if !g.Current && !g.Missing {
			words = append(words, cobra.CompletionWithDesc(strconv.Itoa(g.Number), g.Image.ID))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
