package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/validator"
)

// This file is what the help and the shell's completion know of flags beyond their definitions.

// flagGroup are flags that the help shows together. Connection and security are in a group of their own in every command.
type flagGroup struct {
	title string
	flags []string
}

// runGroups are the flags of a pipe.
var runGroups = []flagGroup{
	{"What to read, and what to write", []string{"from", "from-pattern", "to", "filter", "map", "provenance", "start", "until-end"}},
	{"What the bytes of keys and values are", []string{
		"value-format", "key-format", "schema-registry", "schema-registry-username", "schema-registry-password", "schema-registry-token",
	}},
	{"Records that cannot be processed", []string{"on-error", "dead-letter-topic", "dead-letter-headers", "handler-timeout", "max-decompressed"}},
	{"Group and identity", []string{"group", "group-protocol", "instance-id", "transactional-id", "session-timeout"}},
	{"Transactions and work at once", []string{"commit-interval", "max-records", "max-bytes", "transaction-timeout", "lanes", "parallel"}},
	{"Memory", []string{"input-buffer-max-bytes", "buffer-memory"}},
	{"Looking at it", []string{"http", "print-config"}},
}

// connectionGroup are the flags of addConnection and addSecurity.
func connectionGroup(f *pflag.FlagSet) flagGroup {
	g := flagGroup{title: "Brokers and security"}
	f.VisitAll(func(flag *pflag.Flag) {
		if slices.Contains([]string{"bootstrap-server", "command-config", "client-id", "security-protocol"}, flag.Name) ||
			strings.HasPrefix(flag.Name, "tls-") || strings.HasPrefix(flag.Name, "sasl-") {
			g.flags = append(g.flags, flag.Name)
		}
	})
	return g
}

// groupFlags has the help of cmd show its flags by groups. A flag that is in none comes last.
func groupFlags(cmd *cobra.Command, groups []flagGroup) {
	groups = append(slices.Clone(groups), connectionGroup(cmd.Flags()))
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		var b strings.Builder
		fmt.Fprintf(&b, "Usage:\n  %s\n\nExamples:\n%s\n", cmd.UseLine(), cmd.Example)
		grouped := map[string]bool{}
		for _, g := range groups {
			writeFlags(&b, g.title, cmd.LocalFlags(), func(f *pflag.Flag) bool { return slices.Contains(g.flags, f.Name) })
			for _, name := range g.flags {
				grouped[name] = true
			}
		}
		writeFlags(&b, "Other flags", cmd.LocalFlags(), func(f *pflag.Flag) bool { return !grouped[f.Name] })
		writeFlags(&b, "Global flags", cmd.InheritedFlags(), func(*pflag.Flag) bool { return true })
		_, err := fmt.Fprint(cmd.OutOrStderr(), b.String())
		return err
	})
}

// writeFlags writes those of all that are in, in the order of their definitions, under a title; nothing if none is.
func writeFlags(b *strings.Builder, title string, all *pflag.FlagSet, in func(*pflag.Flag) bool) {
	some := pflag.NewFlagSet("", pflag.ContinueOnError)
	some.SortFlags = false
	all.VisitAll(func(f *pflag.Flag) {
		if in(f) {
			some.AddFlag(f)
		}
	})
	if some.HasAvailableFlags() {
		fmt.Fprintf(b, "\n%s:\n%s", title, some.FlagUsages())
	}
}

// flagValues are the values of flags that take one of a few.
func flagValues() map[string][]string {
	formats := slices.Concat(plainFormats, registryFormats)
	return map[string][]string{
		"value-format": formats, "key-format": formats,
		"start": startNames(), "group-protocol": protocolNames(), "on-error": processor.PolicyNames(), "mode": validator.Modes(),
		"log-level": logLevels, "log-format": logFormats, "duplicates": duplicateNames, "kafka": validator.Versions(),
		"security-protocol": {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"},
		"sasl-mechanism":    {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"},
	}
}

// fileFlags are the flags for whose value the shell offers files.
var fileFlags = []string{"config", "command-config", "tls-ca", "tls-cert", "tls-key", "out", "trace", "html"}

// completeFlags tells the shell what values the flags of cmd have. For those of which nothing is known it offers nothing, and no files.
func completeFlags(cmd *cobra.Command, flags *pflag.FlagSet) {
	values := flagValues()
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Value.Type() == "bool" || slices.Contains(fileFlags, f.Name) {
			return
		}
		// It fails only for a flag that is not there or has its values already.
		_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(values[f.Name], cobra.ShellCompDirectiveNoFileComp))
	})
}
