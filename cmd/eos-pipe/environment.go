package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/eos-pipe/eos-pipe/internal/names"
)

// fromKubernetes are variables that Kubernetes sets in each container for the services of its namespace, whose names may begin with eos-pipe.
var fromKubernetes = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// unknownVariables returns a fault for each variable that begins as ours do and is none: EOS_PIPE_FITLER, passed over, would let every record
// through. A variable that a secret refers to may have any name.
func unknownVariables(cmd *cobra.Command, environment []string) faults {
	var known, referred []string
	for _, name := range append(settingNames(cmd.Root()), "config") {
		known = append(known, envNames(name)...)
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if v, ok := undeferred(f.Value).(*secretValue); ok {
			referred = append(referred, strings.TrimPrefix(v.secret.Reference(), "env:"))
		}
	})
	var found faults
	for _, one := range slices.Sorted(slices.Values(environment)) {
		name, value, _ := strings.Cut(one, "=")
		if !strings.HasPrefix(name, envPrefix) || value == "" || slices.Contains(known, name) || slices.Contains(referred, name) || fromKubernetes.MatchString(name) {
			continue
		}
		near := nearest(strings.ToLower(strings.TrimPrefix(name, envPrefix)), lowerNames(known))
		if near != "" {
			near = envPrefix + strings.ToUpper(near)
		}
		found.add("unknown variable "+name+" in the environment", cmp.Or(didYouMean(near), "each flag has a variable of its name: --group has "+envName("group")))
	}
	return found
}

func lowerNames(variables []string) []string {
	lower := make([]string, len(variables))
	for i, v := range variables {
		lower[i] = strings.ToLower(strings.TrimPrefix(v, envPrefix))
	}
	return lower
}

// programs are the flags whose text is a program, with blanks and line feeds as its author likes.
var programs = []string{"filter", "map"}

// unseenInNames returns a fault for each text that has what nobody sees in it, wherever it came from: a line feed at the end of a variable makes
// another group of it, which begins from the start.
func unseenInNames(flags *pflag.FlagSet) faults {
	var found faults
	flags.VisitAll(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		} else if f.Value.Type() != "string" || slices.Contains(programs, f.Name) {
			return
		}
		for _, value := range values {
			if err := names.Check(value); err != nil {
				found.add(fmt.Sprintf("--%s: %s %v", f.Name, quote(value), err), "remove it: to the brokers it is another name")
			}
		}
	})
	return found
}
