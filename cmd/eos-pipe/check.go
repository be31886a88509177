package main

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/eos-pipe/eos-pipe/eos"
	"github.com/eos-pipe/eos-pipe/internal/jq"
	"github.com/eos-pipe/eos-pipe/processor"
)

// This file checks values that several commands take. Every check adds to the faults and continues.

// checkPresent adds one fault for a setting that is missing.
func checkPresent(all *faults, flag string, isSet bool, example string) {
	if !isSet {
		all.add("--"+flag+" is missing", fmt.Sprintf("give it as --%s %s, as %s, or in the --config file", flag, example, envName(flag)))
	}
}

func checkServers(all *faults, servers []string) {
	checkPresent(all, "bootstrap-server", len(servers) > 0, "localhost:9092")
	for _, s := range servers {
		_, port, err := net.SplitHostPort(s)
		if n, convErr := strconv.Atoi(port); err != nil || convErr != nil || n < 1 || n > 65535 || strings.HasPrefix(s, ":") {
			all.add("--bootstrap-server: "+quote(s)+" is not host:port", "write it as localhost:9092")
		}
	}
}

// checkListen checks where to listen; "" is nowhere.
func checkListen(all *faults, flag, address string) {
	if address == "" {
		return
	}
	_, port, err := net.SplitHostPort(address)
	if n, convErr := strconv.Atoi(port); err != nil || convErr != nil || n < 0 || n > 65535 {
		all.add("--"+flag+": "+quote(address)+" is not host:port", "write it as 127.0.0.1:9404; 0.0.0.0:9404 accepts connections from everywhere")
	}
}

// checkTopics checks where a pipe reads and writes. One that reads its own output never ends.
func checkTopics(all *faults, from []string, pattern, to string) {
	checkPresent(all, "from", len(from) > 0 || pattern != "", "TOPIC")
	checkPattern(all, pattern)
	checkPresent(all, "to", to != "", "TOPIC")
	for i, t := range from {
		checkTopic(all, "from", t)
		if slices.Contains(from[:i], t) {
			all.add("--from names topic "+quote(t)+" twice", "name it once")
		}
	}
	if to != "" {
		checkTopic(all, "to", to)
	}
	if to != "" && slices.Contains(from, to) {
		all.add("--from and --to both name topic "+quote(to), "a pipe that reads its own output never ends; write to another topic")
	}
}

// checkPolicy checks what becomes of records that cannot be processed: dead letters need a topic, and one that the pipe does not read or
// write.
func checkPolicy(all *faults, policy, topic string, from []string, to string) {
	checkOneOf(all, "on-error", policy, processor.PolicyNames()...)
	wanted := policy == processor.DeadLetterOnError.String()
	switch {
	case wanted && topic == "":
		all.add("--on-error dead-letter needs a topic", "name it: --dead-letter-topic TOPIC")
	case !wanted && topic != "":
		all.add("--dead-letter-topic is set, but nothing goes there", "add --on-error dead-letter")
	case topic == "":
	case topic == to || slices.Contains(from, topic):
		all.add("--dead-letter-topic "+quote(topic)+" is also read or written by the pipe", "give dead letters their own topic")
	default:
		checkTopic(all, "dead-letter-topic", topic)
	}
}

// checkPattern checks the pattern of topics to read; "" is none.
func checkPattern(all *faults, pattern string) {
	if _, err := regexp.Compile(pattern); err != nil {
		all.add("--from-pattern: "+err.Error(), "it is a regular expression for the whole name, as orders-.*")
	}
}

func checkTopic(all *faults, flag, topic string) {
	if eos.CheckOutput(topic, time.UnixMilli(0)) != nil { // the rule is that of all topics
		all.add("--"+flag+": "+quote(topic)+" is not a topic name", "Kafka allows 1 to 249 of the characters a-z A-Z 0-9 . _ -")
	}
}

// compileJQ compiles expr; "" is no program.
func compileJQ(all *faults, flag, expr string) *jq.Program {
	if expr == "" {
		return nil
	}
	p, err := jq.Compile(expr)
	if err != nil {
		all.add("--"+flag+": "+err.Error(), "the language is that of jq; a record is {key, value, headers, topic, partition, offset, timestamp}")
	}
	return p
}

func checkOneOf(all *faults, flag, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		all.add(fmt.Sprintf("--%s: invalid value %s", flag, quote(value)), cmp.Or(didYouMean(nearest(value, allowed)), "write "+strings.Join(allowed, " or ")))
	}
}

// atLeast is for numbers with a smallest sensible value.
func atLeast[T cmp.Ordered](all *faults, flag string, value, least T) {
	if value < least {
		all.add(fmt.Sprintf("--%s is %v", flag, value), fmt.Sprintf("the least is %v", least))
	}
}

// hostName is the default of --instance-id.
func hostName(all *faults) string {
	name, err := os.Hostname()
	if err != nil {
		all.add("cannot find this machine's name: "+err.Error(), "give --instance-id a name that stays the same over restarts")
	}
	return name
}

// sizeValue is a flag's number of bytes: 1048576, 512KiB, 16MiB, 1GiB; also 16m as the JVM and docker take it, and 16MB, which is 16,000,000.
type sizeValue int

// sizeUnits are what may follow the number, in lower case.
var sizeUnits = map[string]int{
	"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 1e3, "mb": 1e6, "gb": 1e9,
}

// Set implements pflag.Value.
func (v *sizeValue) Set(text string) error {
	text = strings.TrimSpace(text)
	number := strings.TrimRightFunc(text, unicode.IsLetter)
	unit, ok := sizeUnits[strings.ToLower(text[len(number):])]
	n, err := strconv.Atoi(strings.TrimSpace(number))
	switch {
	case err != nil:
		return err
	case !ok:
		return strconv.ErrSyntax
	case n > math.MaxInt/unit:
		return strconv.ErrRange
	}
	*v = sizeValue(n * unit)
	return nil
}

// String implements pflag.Value: the largest unit that says it in a whole number.
func (v sizeValue) String() string {
	for _, unit := range []string{"GiB", "MiB", "KiB"} {
		if n := sizeUnits[strings.ToLower(unit)]; v != 0 && int(v)%n == 0 {
			return strconv.Itoa(int(v)/n) + unit
		}
	}
	return strconv.Itoa(int(v))
}

// MarshalYAML has a printed configuration say it as String does. In JSON it is a number.
func (v sizeValue) MarshalYAML() (any, error) {
	if text := v.String(); strings.HasSuffix(text, "B") {
		return text, nil
	}
	return int(v), nil
}

// Type implements pflag.Value.
func (v sizeValue) Type() string { return "size" }
