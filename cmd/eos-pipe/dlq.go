package main

import "github.com/spf13/cobra"

// newDLQCommand is the family of commands about dead letters.
func newDLQCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Deal with the records that a pipe has given up",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown command "+quote("dlq "+args[0]), "eos-pipe dlq --help lists the commands")
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newDLQReplayCommand(a))
	return cmd
}
