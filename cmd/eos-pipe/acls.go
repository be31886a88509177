package main

import (
	"context"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// aclsOptions is the pipe for which `eos-pipe acls` says what it may do, checked.
type aclsOptions struct {
	BootstrapServers []string
	From, To         []string
	FromPattern      string // "": none
	Group            string
	TransactionalID  string // prefix, as run takes it; "": those of the group
	Principal        string
}

const aclsLong = `Print what the brokers must allow for eos-pipe run to work, as commands for kafka-acls.sh:
WRITE on its transactional ids, READ on its group, READ on its input topics, WRITE on its
output topics. Nothing else is needed, and without any of these it does not work. What is
good to have comes after that, apart.

It asks no broker and changes nothing. The commands are for an administrator, who may need a
--command-config of his own for them.`

const aclsExample = `  eos-pipe acls -b localhost:9092 --principal User:billing --from orders --to invoices --group billing`

func newACLsCommand(a *app) *cobra.Command {
	var o aclsOptions
	cmd := &cobra.Command{Use: "acls", Short: "Print the permissions that a pipe needs", Long: aclsLong, Example: aclsExample}
	f := cmd.Flags()
	f.StringSliceVarP(&o.BootstrapServers, "bootstrap-server", "b", nil, "`host:port` of one or more brokers, for the commands; also --brokers (required)")
	f.StringVar(&o.Principal, "principal", "", "as whom the brokers see the pipe, as `User:name` (required)")
	f.StringSliceVar(&o.From, "from", nil, "`topic` to read; repeat it or use commas for more (required, or --from-pattern)")
	f.StringVar(&o.FromPattern, "from-pattern", "", "regular `expression` of the pipe for topics to read")
	f.StringSliceVar(&o.To, "to", nil, "`topic` to write; those of --map and of dead letters, too (required)")
	f.StringVar(&o.Group, "group", "", "consumer `group` (required)")
	f.StringVar(&o.TransactionalID, "transactional-id", "", "`prefix` of the transactional ids, as for run (default GROUP, for all instances)")

	return a.command(cmd, action{
		check: o.check,
		do:    func(_ context.Context, s streams) error { return s.print(o.acls()) },
	})
}

func (o *aclsOptions) check(all *faults) {
	checkServers(all, o.BootstrapServers)
	checkPresent(all, "principal", o.Principal != "", "User:NAME")
	if kind, name, ok := strings.Cut(o.Principal, ":"); o.Principal != "" && (!ok || kind == "" || name == "") {
		all.add("--principal: "+quote(o.Principal)+" is not a principal", "write it with its type, as User:name; with a client certificate it is User: and its subject")
	}
	checkPresent(all, "from", len(o.From) > 0 || o.FromPattern != "", "TOPIC")
	checkPattern(all, o.FromPattern)
	checkPresent(all, "to", len(o.To) > 0, "TOPIC")
	for _, t := range o.From {
		checkTopic(all, "from", t)
	}
	for _, t := range o.To {
		checkTopic(all, "to", t)
	}
	checkPresent(all, "group", o.Group != "", "NAME")
}

// aclsResult is what acls prints.
type aclsResult struct {
	Principal string `json:"principal"`
	Required  []acl  `json:"required"`
	Optional  []acl  `json:"optional"`
	servers   []string
}

// acl allows one operation on one resource.
type acl struct {
	Operation    string `json:"operation"`     // as kafka-acls.sh spells it
	ResourceType string `json:"resource_type"` // topic, group or transactional-id
	Name         string `json:"resource_name"`
	Pattern      string `json:"pattern_type"` // literal or prefixed
	Why          string `json:"why"`
}

// acls are what the brokers check (KafkaApis and StandardAuthorizer of Kafka 4.4): READ and WRITE imply DESCRIBE, and
// IDEMPOTENT_WRITE on the cluster is asked only of producers without a transactional id.
func (o *aclsOptions) acls() aclsResult {
	prefix := o.Group + "-"
	if o.TransactionalID != "" {
		prefix = o.TransactionalID + "-"
	}
	r := aclsResult{Principal: o.Principal, servers: o.BootstrapServers, Required: []acl{
		{"Write", "transactional-id", prefix, "prefixed", "begin and end transactions; every instance and lane has an id with this prefix"},
		{"Read", "group", o.Group, "literal", "be a member of the group, read and commit its offsets"},
	}}
	for _, topic := range o.From {
		r.Required = append(r.Required, acl{"Read", "topic", topic, "literal", "read the input, and commit its offsets"})
	}
	if o.FromPattern != "" {
		r.Required = append(r.Required, patternACL(o.FromPattern))
	}
	for _, topic := range o.To {
		r.Required = append(r.Required, acl{"Write", "topic", topic, "literal", "write the output"})
		r.Optional = append(
			r.Optional,
			acl{"Read", "topic", topic, "literal", "a restart finds markers that the brokers have forgotten; verify and record read it"},
			acl{"DescribeConfigs", "topic", topic, "literal", "batches above 1 MB, where the topic's max.message.bytes takes them"},
		)
	}
	return r
}

// patternACL is what a pattern needs: topics with the prefix that all matching names have, or all topics. The brokers tell a pipe only of topics that it may
// see, so that one that matches and may not be read is as if it were not there.
func patternACL(pattern string) acl {
	const why = "find the topics that match, read them, and commit their offsets"
	switch prefix, all := regexp.MustCompile(strings.TrimPrefix(pattern, "^")).LiteralPrefix(); {
	case all:
		return acl{"Read", "topic", prefix, "literal", why}
	case prefix != "":
		return acl{"Read", "topic", prefix, "prefixed", why}
	}
	return acl{"Read", "topic", "*", "literal", why + "; or READ on each by its name: those without it are not seen"}
}

// String returns commands for a shell, what is optional apart.
func (r aclsResult) String() string {
	var b strings.Builder
	b.WriteString("# required\n")
	r.commands(&b, r.Required)
	b.WriteString("\n# good to have, and not needed\n")
	r.commands(&b, r.Optional)
	return strings.TrimSuffix(b.String(), "\n")
}

func (r aclsResult) commands(b *strings.Builder, acls []acl) {
	for _, a := range acls {
		words := []string{
			"kafka-acls.sh", "--bootstrap-server", strings.Join(r.servers, ","), "--add", "--allow-principal", r.Principal,
			"--operation", a.Operation, "--" + a.ResourceType, a.Name,
		}
		if a.Pattern != "literal" {
			words = append(words, "--resource-pattern-type", a.Pattern)
		}
		for i, w := range words {
			words[i] = shellWord(w)
		}
		b.WriteString(strings.Join(words, " ") + " # " + a.Why + "\n")
	}
}

var plainWord = regexp.MustCompile(`^[a-zA-Z0-9_.,:/@+-]+$`)

// shellWord quotes what a shell would not take as it is.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
