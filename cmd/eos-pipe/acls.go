package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/eos-pipe/eos-pipe/internal/acl"
)

const aclsLong = `Print what the brokers must allow for eos-pipe run to work, as commands for kafka-acls.sh:
WRITE on its transactional ids, READ on its group, READ on its input topics, WRITE on its
output topics. Nothing else is needed, and without any of these it does not work. What is
good to have comes after that, apart.

It asks no broker and changes nothing. The commands are for an administrator, who may need a
--command-config of his own for them.`

const aclsExample = `  eos-pipe acls -b localhost:9092 --principal User:billing --from orders --to invoices --group billing`

func newACLsCommand(a *app) *cobra.Command {
	var pipe acl.Pipe
	cmd := &cobra.Command{Use: "acls", Short: "Print the permissions that a pipe needs", Long: aclsLong, Example: aclsExample}
	f := cmd.Flags()
	f.StringSliceVarP(&pipe.BootstrapServers, "bootstrap-server", "b", nil, "`host:port` of one or more brokers, for the commands; also --brokers (required)")
	f.StringVar(&pipe.Principal, "principal", "", "as whom the brokers see the pipe, as `User:name` (required)")
	f.StringSliceVar(&pipe.From, "from", nil, "`topic` to read; repeat it or use commas for more (required, or --from-pattern)")
	f.StringVar(&pipe.FromPattern, "from-pattern", "", "regular `expression` of the pipe for topics to read")
	f.StringSliceVar(&pipe.To, "to", nil, "`topic` to write; those of --map and of dead letters, too (required)")
	f.StringVar(&pipe.Group, "group", "", "consumer `group` (required)")
	f.StringVar(&pipe.TransactionalID, "transactional-id", "", "`prefix` of the transactional ids, as for run (default GROUP, for all instances)")

	return a.command(cmd, action{
		check: func(all *faults) { checkACLs(all, pipe) },
		do:    func(_ context.Context, s streams) error { return s.print(pipe.Permissions()) },
	})
}

func checkACLs(all *faults, pipe acl.Pipe) {
	checkServers(all, pipe.BootstrapServers)
	checkPresent(all, "principal", pipe.Principal != "", "User:NAME")
	if pipe.Principal != "" && !acl.IsPrincipal(pipe.Principal) {
		all.add("--principal: "+quote(pipe.Principal)+" is not a principal", "write it with its type, as User:name; with a client certificate it is User: and its subject")
	}
	checkPresent(all, "from", len(pipe.From) > 0 || pipe.FromPattern != "", "TOPIC")
	checkPattern(all, pipe.FromPattern)
	checkPresent(all, "to", len(pipe.To) > 0, "TOPIC")
	for _, t := range pipe.From {
		checkTopic(all, "from", t)
	}
	for _, t := range pipe.To {
		checkTopic(all, "to", t)
	}
	checkPresent(all, "group", pipe.Group != "", "NAME")
}
