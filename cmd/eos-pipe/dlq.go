package main

import "github.com/spf13/cobra"

// newDLQCommand is the family of commands about dead letters.
func newDLQCommand(a *app) *cobra.Command {
	return family("dlq", "Handle the records that a pipe has given up", newDLQReplayCommand(a))
}
