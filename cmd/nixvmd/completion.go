package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixvm/nixvm/internal/problem"
)

func newCompletion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "Print a shell completion script",
		Long: `Print a shell script that completes commands, flags, and the names of machines and
snapshots. Names come from the daemon if it is running; completion never starts
it.

  bash  nixvmd completion bash >~/.local/share/bash-completion/completions/nixvmd
  zsh   nixvmd completion zsh >"${fpath[1]}/_nixvmd"
  fish  nixvmd completion fish >~/.config/fish/completions/nixvmd.fish`,
		Args: takes("bash|zsh|fish"), ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			switch root := cmd.Root(); args[0] {
			case "bash":
				err = bashCompletion(root, a.out)
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

// bashCompletion writes cobra's script, mended in one point: it compares what was
// typed with the candidates as `printf %q` writes them, which has a backslash
// before each comma, so the second word of A,B would never be completed.
func bashCompletion(root *cobra.Command, w io.Writer) error {
	var script strings.Builder
	if err := root.GenBashCompletionV2(&script, true); err != nil {
		return err
	}
	_, err := strings.NewReplacer(
		`        [[ $comp == "$cur"* ]] || continue`, `        comp=${comp//\\,/,}
        [[ $comp == "$cur"* ]] || continue`,
		`COMPREPLY[0]=$(printf "%q" "${COMPREPLY[0]%%$tab*}")`, `COMPREPLY[0]=$(printf "%q" "${COMPREPLY[0]%%$tab*}")
        COMPREPLY[0]=${COMPREPLY[0]//\\,/,}`,
	).WriteString(w, script.String())
	return err
}
