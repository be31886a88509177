package acl

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// names returns "operation type name pattern" of each permission.
func names(all []Permission) (lines []string) {
	for _, p := range all {
		lines = append(lines, strings.Join([]string{p.Operation, p.ResourceType, p.Name, p.Pattern}, " "))
	}
	return lines
}

// A pipe needs WRITE on its transactional ids and outputs, and READ on its group and inputs. The ids begin with the
// group, or with the prefix that was given.
func TestPermissions(t *testing.T) {
	t.Parallel()
	pipe := Pipe{From: []string{"orders", "refunds"}, To: []string{"invoices"}, Group: "billing"}
	all := pipe.Permissions()
	require.Equal(t, []string{
		"Write transactional-id billing- prefixed", "Read group billing literal",
		"Read topic orders literal", "Read topic refunds literal", "Write topic invoices literal",
	}, names(all.Required))
	optional := []string{"Read topic invoices literal", "DescribeConfigs topic invoices literal"}
	require.Equal(t, optional, names(all.Optional))
	pipe.TransactionalID = "tx"
	require.Equal(t, "Write transactional-id tx- prefixed", names(pipe.Permissions().Required)[0])
}

// A pattern needs READ on the one topic that it names, on what all matching names begin with, or on all topics.
func TestPermissionsOfAPattern(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"orders-(eu|us)":  "orders- prefixed",
		"^orders-.*":      "orders- prefixed",
		"orders":          "orders literal",
		"^orders":         "orders literal",
		".*-orders":       "* literal",
		"^a|b":            "* literal",
		"(?i)orders":      "* literal",
		"^*orders":        "* literal", // a repeated ^ is not cut off
		"orders\\.eu\\..": "orders.eu. prefixed",
	} {
		got := Pipe{Group: "g", FromPattern: pattern}.Permissions().Required
		require.Equal(t, "Read topic "+want, names(got)[2], pattern)
	}
}

// Each permission is one command; a shell makes of each word what was meant.
func TestCommands(t *testing.T) {
	t.Parallel()
	text := Pipe{
		BootstrapServers: []string{"a:9092", "b:9092"}, Principal: "User:CN=pipe 1,O=it's",
		From: []string{"in"}, To: []string{"out"}, Group: "my group",
	}.Permissions().String()
	lines := strings.Split(text, "\n")
	require.Len(t, lines, 9)
	require.Equal(t, "# required", lines[0])
	require.Equal(t, `kafka-acls.sh --bootstrap-server a:9092,b:9092 --add --allow-principal 'User:CN=pipe 1,O=it'\''s'`+
		` --operation Write --transactional-id 'my group-' --resource-pattern-type prefixed # `+whyTransactionalID, lines[1])
	require.Equal(t, []string{"", "# good to have, and not needed"}, lines[5:7])
}

// The JSON form has the names that scripts rely on, and not the servers, which are for the commands.
func TestJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Pipe{BootstrapServers: []string{"a:9092"}, Principal: "User:x", Group: "g"}.Permissions())
	require.NoError(t, err)
	require.JSONEq(t, `{"principal":"User:x","optional":null,"required":[
		{"operation":"Write","resource_type":"transactional-id","resource_name":"g-","pattern_type":"prefixed",
		 "why":"begin and end transactions; every instance and lane has an id with this prefix"},
		{"operation":"Read","resource_type":"group","resource_name":"g","pattern_type":"literal",
		 "why":"be a member of the group, read and commit its offsets"}]}`, string(text))
}

// A principal has a type and a name.
func TestIsPrincipal(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"User:a", "User:CN=a:b"} {
		require.True(t, IsPrincipal(text), text)
	}
	for _, text := range []string{"", "a", ":a", "User:"} {
		require.False(t, IsPrincipal(text), text)
	}
}

// FuzzPattern takes any pattern that compiles, and any topic's name that it matches as a whole: the permission covers
// that topic.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"orders-(eu|us)", "orders-eu"},
		{"^orders", "orders"},
		{"^a|b", "b"},
		{"^*a", "a"},
		{"ab|abc", "abc"},
		{"(?i)Ab", "aB"},
		{"a+", "aa"},
		{"^", "x"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		if _, err := regexp.Compile(pattern); err != nil {
			return
		}
		p := readMatching(pattern)
		whole, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil || topic == "" || !whole.MatchString(topic) {
			return
		}
		covers := p.Name == "*" || p.Name == topic || p.Pattern == "prefixed" && strings.HasPrefix(topic, p.Name)
		require.True(t, covers, "%+v does not cover %q, which matches %q", p, topic, pattern)
	})
}

// FuzzShellWord takes any text: what a POSIX shell reads of the word is that text again.
func FuzzShellWord(f *testing.F) {
	for _, seed := range []string{"", "plain", "it's", "''", "a b", "$HOME", "a\nb", `\`, "*", "#", "-a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		require.Equal(t, text, unquote(t, shellWord(text)))
	})
}

// unquote reads one word as a POSIX shell does (Shell Command Language, 2.2): characters that need no quoting, single
// quotes, and \'.
func unquote(t *testing.T, word string) string {
	t.Helper()
	var b strings.Builder
	for word != "" {
		switch {
		case word[0] == '\'':
			inner, rest, ok := strings.Cut(word[1:], "'")
			require.True(t, ok, "a quote is not closed")
			b.WriteString(inner)
			word = rest
		case strings.HasPrefix(word, `\'`):
			b.WriteByte('\'')
			word = word[2:]
		default:
			require.NotContains(t, " \t\n|&;<>()$`\\\"*?[#~=%!{}", word[:1], "a shell would change it")
			b.WriteByte(word[0])
			word = word[1:]
		}
	}
	return b.String()
}
