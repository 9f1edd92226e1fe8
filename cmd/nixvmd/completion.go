package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/internal/problem"
)

func newCompletion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "Print the completion script of a shell",
		Long: `Print the script that completes verbs, flags, and the names of machines and
snapshots in a shell. Names are asked of the daemon if one runs; completing never
starts one.

  bash  nixvmd completion bash >~/.local/share/bash-completion/completions/nixvmd
  zsh   nixvmd completion zsh >"${fpath[1]}/_nixvmd"
  fish  nixvmd completion fish >~/.config/fish/completions/nixvmd.fish`,
		Args: takes("SHELL"), ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			switch root := cmd.Root(); args[0] {
			case "bash":
				err = root.GenBashCompletionV2(a.out, true)
			case "zsh":
				err = root.GenZshCompletion(a.out)
			case "fish":
				err = root.GenFishCompletion(a.out, true)
			default:
				return problem.New(problem.BadParams, "there is no completion for %q", args[0]).WithHint("the shells are bash, zsh and fish")
			}
			if err != nil {
				return fmt.Errorf("write the completion script: %w", err)
			}
			return nil
		},
	}
}
