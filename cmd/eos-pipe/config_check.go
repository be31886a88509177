package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/eos-pipe/eos-pipe/processor"
)

// newConfigCommand is the family of commands about settings.
func newConfigCommand(a *app) *cobra.Command {
	return family("config", "Look at the settings of a pipe", newConfigCheckCommand(a))
}

const configCheckLong = `Check the settings of eos-pipe run from flags, environment and --config file, without
connecting to anything. It reports every fault at once and exits with 2. It reads the files that
the settings name: certificates, a client.properties, and secrets, which it does not print.

If nothing is wrong it prints the effective settings, as run --print-config does.`

const configCheckExample = `  eos-pipe config check --config pipe.yaml`

func newConfigCheckCommand(a *app) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{Use: "check", Short: "Check the settings of a pipe without connecting", Long: configCheckLong, Example: configCheckExample}
	check := o.define(cmd.Flags())
	groupFlags(cmd, runGroups)
	return a.command(cmd, action{check: check, do: func(_ context.Context, s streams) error {
		if _, err := o.options(s.Log); err != nil {
			return err
		}
		if err := o.open(); err != nil {
			return err
		}
		return s.print(effectiveConfig(cmd.Flags(), o))
	}})
}

// settings are the effective settings of a pipe, in the order of the help, by the names of the flags.
type settings []setting

type setting struct {
	name  string
	value any // a string, a list of strings, a number or a bool
}

// effectiveConfig returns the settings that are not empty, with what follows from others filled in. Of a secret it returns the reference.
func effectiveConfig(f *pflag.FlagSet, o runOptions) settings {
	records, size := processor.DefaultBatch(o.Lanes)
	derived := map[string]any{
		"transactional-id": o.TransactionalID, "instance-id": o.InstanceID, "bootstrap-server": o.BootstrapServers,
		"max-records": cmp.Or(o.MaxRecords, records), "max-bytes": sizeValue(cmp.Or(o.MaxBytes, size)),
	}
	var all settings
	f.VisitAll(func(flag *pflag.Flag) {
		if slices.Contains(notSettings, flag.Name) || flag.Name == "config" {
			return
		}
		value, ok := derived[flag.Name]
		if !ok {
			value = typedValue(flag.Value)
		}
		text, isText := value.(string)
		list, isList := value.([]string)
		if isText && text == "" || isList && len(list) == 0 {
			return
		}
		all = append(all, setting{flag.Name, value})
	})
	return all
}

// typedValue returns the value of a flag as YAML and JSON have it.
func typedValue(value pflag.Value) any {
	value = undeferred(value)
	text := value.String()
	switch v := value.(type) {
	case pflag.SliceValue:
		return v.GetSlice()
	case *secretValue:
		return v.secret.Reference()
	}
	switch value.Type() {
	case "bool":
		return text == "true"
	case "size":
		if v, ok := value.(*sizeValue); ok {
			return *v
		}
	case "int":
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	}
	return text
}

// String returns the settings as a file for --config.
func (s settings) String() string {
	doc := yaml.Node{Kind: yaml.MappingNode}
	for _, one := range s {
		var key, value yaml.Node
		_ = key.Encode(one.name) // these types can be encoded
		_ = value.Encode(one.value)
		doc.Content = append(doc.Content, &key, &value)
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	_ = e.Encode(&doc)
	return strings.TrimSuffix(b.String(), "\n")
}

// MarshalJSON returns them as one object, in the same order.
func (s settings) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, one := range s {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(one.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(one.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
