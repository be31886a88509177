package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commands are the commands of eos-pipe in the order the help shows them. A new command is a file and a line here.
var commands = []func(*app) *cobra.Command{
	newRunCommand,
	newVerifyCommand,
	newDLQCommand,
	newConfigCommand,
	newRecordCommand,
	newValidateCommand,
	newACLsCommand,
	newDemoCommand,
	newSimCommand,
	newVersionCommand,
}

// app is one call of eos-pipe: where it writes, and the flags that every command has.
type app struct {
	stdout, stderr io.Writer

	config    string
	logLevel  string
	logFormat string
	json      bool
	quiet     bool

	faults faults // values on the command line that could not be read
}

// execute runs the command in args, reports its error, and returns the process's exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr}
	root := newRoot(a)
	root.SetArgs(args)
	if err := checkCommand(root, args); err != nil {
		return a.report(err)
	}
	return a.report(root.ExecuteContext(ctx))
}

const rootLong = `eos-pipe moves records from Kafka topics to others, exactly once: every committed
input record is in the output once, through crashes, restarts and rebalances.

Settings. Every flag can also be an environment variable, EOS_PIPE_ and its
name in capitals with _ for - (--session-timeout: EOS_PIPE_SESSION_TIMEOUT), and a
key of the YAML file that --config names (session-timeout: 45s). A flag overrides the
environment, and the environment the file. One file may serve several commands.

Output. stdout has the result (with --json: one JSON object a line), stderr the log:
text on a terminal, JSON otherwise. The last line of a process that fails says why:
"error: …" and "hint: …", or in JSON an object with level ERROR, err, hint and exit_code.

Exit codes.
  0  done
  1  a failure, or a finding (of verify or validate)
  2  usage: a flag, a setting or an expression is wrong; nothing was started
  3  fenced: another instance with the same transactional id has taken over, or already
     runs on this host
  4  stopped for an operator: a poison record, lost offsets, a changed topic,
     or brokers that permanently refuse the credentials, a permission or a request`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "eos-pipe",
		Short:         "Move records between Kafka topics exactly once",
		Long:          rootLong,
		Version:       readVersion().Version,
		SilenceErrors: true, // report prints them
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("eos-pipe {{.Version}}\n")
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetGlobalNormalizationFunc(canonicalName)
	root.SetHelpCommand(newHelpCommand())

	f := root.PersistentFlags()
	f.SortFlags = false
	f.StringVar(&a.config, "config", "", "read settings from this YAML `file`")
	f.BoolVar(&a.json, "json", false, "print results as JSON, one object per line")
	f.BoolVar(&a.quiet, "quiet", false, "no progress, and only warnings and errors in the log")
	f.StringVar(&a.logLevel, "log-level", "", "least `level` to log: debug, info, warn or error (default info; warn with --quiet)")

	f.StringVar(&a.logFormat, "log-format", "auto", "`auto|text|json`: of the log and of a fatal error; auto is text on a terminal, and JSON otherwise")
	a.logFormat = cmp.Or(os.Getenv(envName("log-format")), a.logFormat) // also for what is wrong before settings are read
	completeFlags(root, f)

	for _, command := range commands {
		root.AddCommand(command(a))
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// canonicalName maps a flag's other names to the one it is defined by.
func canonicalName(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	if name == "brokers" {
		name = "bootstrap-server"
	}
	return pflag.NormalizedName(name)
}

// action is what a command does once its flags are defined. check adds what is wrong with the settings; do runs only if
// nothing is.
type action struct {
	check func(*faults)
	do    func(context.Context, streams) error
}

// command completes cmd, whose flags are defined already, with what every command goes through: settings from
// environment and file, all faults at once, streams and log, then the work.
func (a *app) command(cmd *cobra.Command, act action) *cobra.Command {
	cmd.Flags().SortFlags = false
	cmd.Args = noArguments
	completeFlags(cmd, cmd.Flags())
	a.deferFaults(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all := a.faults
		all = append(all, a.applySettings(cmd)...)
		level := a.level(&all)
		if act.check != nil {
			act.check(&all)
		}
		if err := all.err(); err != nil {
			return err
		}
		return act.do(cmd.Context(), newStreams(a, level))
	}
	return cmd
}

// family returns a command that is nothing but the name before those of its children.
func family(name, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError("unknown command "+quote(name+" "+args[0]), "eos-pipe "+name+" --help lists the commands")
		}
		return cmd.Help()
	}}
	cmd.AddCommand(children...)
	return cmd
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError("unexpected argument "+quote(args[0]), "settings are flags; see "+cmd.CommandPath()+" --help")
}

// checkCommand refuses an unknown command before anything looks at its flags.
func checkCommand(root *cobra.Command, args []string) error {
	if len(args) > 0 && strings.HasPrefix(args[0], "__") { // cobra's hidden commands for shell completion
		return nil
	}
	_, _, err := root.Find(args)
	if err == nil {
		return nil
	}
	var name string // only cobra knows which of args are values of flags
	if _, scanErr := fmt.Sscanf(err.Error(), "unknown command %q", &name); scanErr != nil {
		return usageError(err.Error(), "eos-pipe --help lists the commands")
	}
	return unknownCommand(root, name)
}

func unknownCommand(root *cobra.Command, name string) error {
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	hint := "eos-pipe --help lists the commands"
	if near := nearest(name, names); near != "" {
		hint = "did you mean eos-pipe " + near + "?"
	}
	return usageError("unknown command "+quote(name), hint)
}

func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, _, err := cmd.Root().Find(args)
			if err != nil || len(args) > 0 && found == cmd.Root() {
				return unknownCommand(cmd.Root(), args[0])
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}
