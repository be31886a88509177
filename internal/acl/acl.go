// Package acl derives the permissions that a pipe needs from the brokers, and writes them as commands for
// kafka-acls.sh. It asks no broker.
//
// The source is what the brokers check (KafkaApis and StandardAuthorizer of Kafka 4.4): READ and WRITE imply DESCRIBE,
// and IDEMPOTENT_WRITE on the cluster is asked only of producers without a transactional id.
package acl

import (
	"regexp"
	"strings"
)

// Pipe is what the permissions are derived from: a pipe, and the user as which the brokers see it.
type Pipe struct {
	BootstrapServers []string // for the commands only
	Principal        string   // as "User:name"; see IsPrincipal
	From             []string // topics that the pipe reads
	FromPattern      string   // a regular expression, which must compile, for further topics; "": none
	To               []string // topics that the pipe writes
	Group            string
	TransactionalID  string // the prefix that `eos-pipe run` takes; "": the ids begin with the group
}

// Permissions are what a pipe must be allowed to do, and what is good to have besides. Pipe.Permissions makes them.
// Their JSON form is the output of `eos-pipe acls --json`.
type Permissions struct {
	Principal string       `json:"principal"`
	Required  []Permission `json:"required"`
	Optional  []Permission `json:"optional"`
	servers   []string
}

// Permission allows one operation on one resource, or on all resources whose names begin with a prefix.
type Permission struct {
	Operation    string `json:"operation"`     // as kafka-acls.sh spells it
	ResourceType string `json:"resource_type"` // topic, group or transactional-id
	Name         string `json:"resource_name"`
	Pattern      string `json:"pattern_type"` // literal or prefixed
	Why          string `json:"why"`
}

// Why a pipe needs each permission.
const (
	whyTransactionalID = "begin and end transactions; every instance and lane has an id with this prefix"
	whyGroup           = "be a member of the group, read and commit its offsets"
	whyInput           = "read the input, and commit its offsets"
	whyMatching        = "find the topics that match, read them, and commit their offsets"
	whyOutput          = "write the output"
	whyReadOutput      = "a restart finds markers that the brokers have forgotten; verify and record read it"
	whyConfigs         = "batches above 1 MB, where the topic's max.message.bytes takes them"
)

// Permissions returns what p needs. Without one of the required permissions the pipe does not work; nothing else is
// needed.
func (p Pipe) Permissions() Permissions {
	prefix := p.Group + "-"
	if p.TransactionalID != "" {
		prefix = p.TransactionalID + "-"
	}
	all := Permissions{Principal: p.Principal, servers: p.BootstrapServers, Required: []Permission{
		{"Write", "transactional-id", prefix, "prefixed", whyTransactionalID},
		{"Read", "group", p.Group, "literal", whyGroup},
	}}
	for _, topic := range p.From {
		all.Required = append(all.Required, Permission{"Read", "topic", topic, "literal", whyInput})
	}
	if p.FromPattern != "" {
		all.Required = append(all.Required, readMatching(p.FromPattern))
	}
	for _, topic := range p.To {
		all.Required = append(all.Required, Permission{"Write", "topic", topic, "literal", whyOutput})
		all.Optional = append(
			all.Optional,
			Permission{"Read", "topic", topic, "literal", whyReadOutput},
			Permission{"DescribeConfigs", "topic", topic, "literal", whyConfigs},
		)
	}
	return all
}

// readMatching returns READ on the topics that match pattern: on the one topic that it names, on the prefix that all
// matching names have, or on all topics. The brokers tell a pipe only of topics that it may see, so a topic that
// matches and may not be read is as if it did not exist.
func readMatching(pattern string) Permission {
	switch prefix, isWhole := literalPrefix(pattern); {
	case isWhole:
		return Permission{"Read", "topic", prefix, "literal", whyMatching}
	case prefix != "":
		return Permission{"Read", "topic", prefix, "prefixed", whyMatching}
	}
	const orEach = "; or READ on each by its name: those without it are not seen"
	return Permission{"Read", "topic", "*", "literal", whyMatching + orEach}
}

// literalPrefix returns what every name begins with that pattern matches as a whole; isWhole says that this is the
// whole name. A leading ^ changes nothing about a match of the whole name, but hides the prefix from the regexp
// package, so it is cut off, unless it has a repetition of its own (^*).
func literalPrefix(pattern string) (prefix string, isWhole bool) {
	re, err := regexp.Compile(strings.TrimPrefix(pattern, "^"))
	if err != nil {
		re = regexp.MustCompile(pattern)
	}
	return re.LiteralPrefix()
}

// IsPrincipal reports whether text has the form TYPE:NAME of Kafka's principals, as User:billing.
func IsPrincipal(text string) bool {
	kind, name, ok := strings.Cut(text, ":")
	return ok && kind != "" && name != ""
}
