// Command eos-pipe moves records between Kafka topics exactly once.
//
// One file per command: run.go and verify.go hold the flags of a command and what is right and wrong about them,
// run_pipe.go and verify_run.go what it does; so do record, validate and sim. The other files are what the commands share:
//
//	root.go      the tree of commands, and what every command goes through
//	config.go    a flag's value from the environment or the configuration file
//	check.go     checks of values that several commands take
//	connection.go  the flags of brokers, TLS and SASL
//	errors.go    error → exit code and hint
//	suggest.go   the name a user may have meant
//	output.go    results on stdout;  log.go and progress.go  everything else on stderr
//	signals.go   the first signal drains, the second aborts
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
