package acl

import (
	"regexp"
	"strings"
)

// String returns one kafka-acls.sh command a line, for a shell. The optional permissions come apart, after the
// required ones.
func (p Permissions) String() string {
	var b strings.Builder
	b.WriteString("# required\n")
	p.writeCommands(&b, p.Required)
	b.WriteString("\n# good to have, and not needed\n")
	p.writeCommands(&b, p.Optional)
	return strings.TrimSuffix(b.String(), "\n")
}

func (p Permissions) writeCommands(b *strings.Builder, permissions []Permission) {
	for _, one := range permissions {
		words := []string{
			"kafka-acls.sh", "--bootstrap-server", strings.Join(p.servers, ","), "--add", "--allow-principal", p.Principal,
			"--operation", one.Operation, "--" + one.ResourceType, one.Name,
		}
		if one.Pattern != "literal" {
			words = append(words, "--resource-pattern-type", one.Pattern)
		}
		for i, w := range words {
			words[i] = shellWord(w)
		}
		b.WriteString(strings.Join(words, " ") + " # " + one.Why + "\n")
	}
}

var plainWord = regexp.MustCompile(`^[a-zA-Z0-9_.,:/@+-]+$`)

// shellWord returns s as one word of a POSIX shell: quoted, where the shell would change it.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
