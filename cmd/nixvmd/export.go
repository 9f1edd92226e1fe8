package main

import "github.com/spf13/cobra"

func newExport(a *app) *cobra.Command {
	identity := false
	cmd := &cobra.Command{
		Use: "export NAME", Short: "Write a VM as an archive to standard output",
		Long: `Write the settings and the state disk of a VM as an archive to standard output, to be
imported on another host or another backend. The archive is the same as that of
backup; a running VM keeps running.`,
		Example: `  nixvmd export demo > demo.nixvm.tar.zst
  nixvmd export demo | ssh lab 'cat > demo.nixvm.tar.zst && nixvmd import demo.nixvm.tar.zst --confirm demo'`,
		Args: takes("NAME"), ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.stream(cmd.Context(), "export", args[0], identity)
		},
	}
	cmd.Flags().BoolVar(&identity, "with-identity", false, "include the SSH host key and the root password; keep the archive secret")
	return cmd
}
