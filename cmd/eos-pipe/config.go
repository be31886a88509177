package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// This file gives flags that are not on the command line their values: from the environment, else from the file of
// --config, else they keep their defaults.

// envPrefix begins the name of every environment variable that eos-pipe reads.
const envPrefix = "EOS_PIPE_"

// notSettings are flags without a counterpart in environment and file.
var notSettings = []string{"help", "version", "print-config"}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// envNames are the variables of a flag, the alias last.
func envNames(flag string) []string {
	if flag == "bootstrap-server" {
		return []string{envName(flag), envName("brokers")}
	}
	return []string{envName(flag)}
}

// applySettings sets the flags of cmd that were not given. It returns every value that could not be read and every
// unknown key. An empty variable counts as not set: it is how a container's environment leaves a value out.
func (a *app) applySettings(cmd *cobra.Command) faults {
	var found faults
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if slices.Contains(notSettings, f.Name) {
			return
		}
		for _, name := range envNames(f.Name) {
			if v := os.Getenv(name); v != "" && !f.Changed {
				found.addIf(setFlag(f, name, v))
			}
		}
	})
	if a.config != "" {
		found = append(found, applyFile(cmd, a.config)...)
	}
	found = append(found, unknownVariables(cmd, os.Environ())...)
	return append(found, unseenInNames(cmd.Flags())...)
}

func applyFile(cmd *cobra.Command, path string) faults {
	var found faults
	text, err := os.ReadFile(path)
	if err != nil {
		found.add("cannot read the configuration file: "+err.Error(), "--config takes the path of a YAML file")
		return found
	}
	file := filepath.Base(path)
	keys, err := parseFile(text)
	if err != nil {
		found.add(file+": "+err.Error(), "the file is a list of lines like lanes: 4, with flag names as keys")
		return found
	}
	for _, k := range keys {
		source := fmt.Sprintf("%s:%d: %s", file, k.line, k.name)
		name := string(canonicalName(nil, k.name))
		known := settingNames(cmd.Root())
		f := cmd.Flags().Lookup(name)
		switch {
		case !slices.Contains(known, name):
			found.add(fmt.Sprintf("%s:%d: unknown key %s", file, k.line, quote(k.name)), cmp.Or(didYouMean(nearest(name, known)), cmd.CommandPath()+" --help lists the keys: they are the flags"))
		case f == nil || f.Changed || k.value.Tag == "!!null": // another command's, given already, or left out
		case k.value.Kind == yaml.SequenceNode:
			found.addIf(setList(f, source, k.value))
		case k.value.Kind != yaml.ScalarNode:
			found.add(source+" takes a value, not an object", "write "+k.name+": VALUE")
		default:
			found.addIf(setFlag(f, source, k.value.Value))
		}
	}
	return found
}

// fileKey is one line of a configuration file.
type fileKey struct {
	name  string
	line  int
	value *yaml.Node
}

// parseFile reads a YAML mapping in its order. An empty file has no keys.
func parseFile(text []byte) ([]fileKey, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, errors.New(strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " "))
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return nil, nil
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, errors.New("not a YAML mapping of keys to values")
	}
	var keys []fileKey
	for i := 0; i < len(top.Content); i += 2 {
		k, v := top.Content[i], top.Content[i+1]
		if slices.ContainsFunc(keys, func(o fileKey) bool { return o.name == k.Value }) {
			return nil, fmt.Errorf("line %d: key %s is there twice", k.Line, quote(k.Value))
		}
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		keys = append(keys, fileKey{k.Value, k.Line, v})
	}
	return keys, nil
}

// settingNames are the flags of all commands: what a file that serves several commands may have as keys.
func settingNames(root *cobra.Command) []string {
	var names []string
	add := func(f *pflag.Flag) {
		if !slices.Contains(notSettings, f.Name) && f.Name != "config" && !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	root.PersistentFlags().VisitAll(add)
	var addAll func(*cobra.Command)
	addAll = func(parent *cobra.Command) {
		for _, c := range parent.Commands() {
			if c.Name() != "completion" {
				c.LocalNonPersistentFlags().VisitAll(add)
				addAll(c)
			}
		}
	}
	addAll(root)
	return names
}

// setFlag gives f the text from source, which the fault names.
func setFlag(f *pflag.Flag, source, text string) *fault {
	value := undeferred(f.Value)
	if err := value.Set(text); err != nil {
		restore(value, f)
		return new(badValue(source, text, f, err))
	}
	f.Changed = true
	return nil
}

// restore undoes what a failed Set left behind (pflag's numbers become 0), so that no check reports it a second time.
func restore(value pflag.Value, f *pflag.Flag) { _ = value.Set(f.DefValue) }

func setList(f *pflag.Flag, source string, list *yaml.Node) *fault {
	slice, ok := f.Value.(pflag.SliceValue)
	if !ok {
		return &fault{source + " takes one value, not a list", "write " + f.Name + ": VALUE"}
	}
	var items []string
	for _, item := range list.Content {
		if item.Kind != yaml.ScalarNode {
			return &fault{source + " takes a list of values", "write " + f.Name + ": [a, b]"}
		}
		items = append(items, item.Value)
	}
	if err := slice.Replace(items); err != nil {
		return new(badValue(source, strings.Join(items, ","), f, err))
	}
	f.Changed = true
	return nil
}

// deferredValue remembers a value that could not be read instead of ending the parse of the command line, so that the
// user hears of all faults at once.
type deferredValue struct {
	pflag.Value
	flag   *pflag.Flag
	faults *faults
}

// undeferred is the value that a deferredValue stands before.
func undeferred(v pflag.Value) pflag.Value {
	if d, ok := v.(*deferredValue); ok {
		return d.Value
	}
	return v
}

// Set implements pflag.Value.
func (v *deferredValue) Set(text string) error {
	if err := v.Value.Set(text); err != nil {
		restore(v.Value, v.flag)
		*v.faults = append(*v.faults, badValue("--"+v.flag.Name, text, v.flag, err))
	}
	return nil
}

func (a *app) deferFaults(set *pflag.FlagSet) {
	set.VisitAll(func(f *pflag.Flag) {
		switch f.Value.Type() {
		case "string", "stringSlice", "bool": // pflag treats these types in ways of their own; and a string cannot be wrong
		default:
			f.Value = &deferredValue{f.Value, f, &a.faults}
		}
	})
}

func badValue(source, text string, f *pflag.Flag, err error) fault {
	if f.Value.Type() == secretType {
		return badSecret(source, err)
	}
	wants := map[string]string{
		"duration": "a duration is a number with a unit: 500ms, 45s, 2m",
		"int":      "write a whole number, such as 4",
		"bool":     "write true or false",
		"size":     "write a number of bytes, or one with a unit: 512KiB, 16MiB (or 16m), 1GiB; 16MB is 16000000",
	}[f.Value.Type()]
	if wants == "" {
		wants = strings.TrimSpace(err.Error())
	}
	return fault{source + ": invalid value " + quote(text), wants}
}
