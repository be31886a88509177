package security

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// The login modules of sasl.jaas.config that are understood.
const (
	plainModule = "org.apache.kafka.common.security.plain.PlainLoginModule"
	scramModule = "org.apache.kafka.common.security.scram.ScramLoginModule"
	oauthModule = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
	awsModule   = "software.amazon.msk.auth.iam.IAMLoginModule"
)

// login takes the name and the password from a sasl.jaas.config, as: MODULE required username="u" password="p";
func (s *SASL) login(text string) error {
	module, options, err := parseLogin(text)
	if err != nil {
		return err
	}
	switch module {
	case plainModule, scramModule:
		s.Username, s.Password = options["username"], literal(options["password"])
		delete(options, "username")
		delete(options, "password")
	case oauthModule: // as before KIP-1139, which has settings for them
		s.OAuth.ClientID, s.OAuth.Scope = cmp.Or(options["clientId"], s.OAuth.ClientID), cmp.Or(options["scope"], s.OAuth.Scope)
		if secret := options["clientSecret"]; secret != "" {
			s.OAuth.ClientSecret = literal(secret)
		}
		delete(options, "clientId")
		delete(options, "clientSecret")
		delete(options, "scope")
	case awsModule:
	default:
		return fmt.Errorf("the login module %s is not supported", module)
	}
	if len(options) > 0 { // their values may be secret
		return fmt.Errorf("the options %s of %s are not supported", strings.Join(slices.Sorted(maps.Keys(options)), ", "), module)
	}
	return nil
}

// errLogin does not quote the text, which holds a password.
var errLogin = errors.New(`it must be one entry as: MODULE required username="NAME" password="PASSWORD";`)

// parseLogin reads one entry of a JAAS configuration: a module, a control flag, options, and a semicolon.
func parseLogin(text string) (module string, options map[string]string, err error) {
	tokens, ok := loginTokens(text)
	if !ok || len(tokens) < 3 || len(tokens)%3 != 0 || tokens[len(tokens)-1] != ";" {
		return "", nil, errLogin
	}
	options = map[string]string{}
	for option := range slices.Chunk(tokens[2:len(tokens)-1], 3) {
		if option[1] != "=" {
			return "", nil, errLogin
		}
		options[option[0]] = option[2]
	}
	return tokens[0], options, nil
}

// loginTokens splits a JAAS entry into words, quoted texts, "=" and ";", as java.io.StreamTokenizer does. ok is false where a
// quote is not closed.
func loginTokens(text string) (tokens []string, ok bool) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		if text[0] == '=' || text[0] == ';' {
			tokens, text = append(tokens, text[:1]), text[1:]
			continue
		}
		if text[0] == '"' || text[0] == '\'' {
			token, rest, closed := quoted(text[1:], rune(text[0]))
			if !closed {
				return nil, false
			}
			tokens, text = append(tokens, token), rest
			continue
		}
		end := strings.IndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`=;"'`, r) })
		if end < 0 {
			end = len(text)
		}
		tokens, text = append(tokens, text[:end]), text[end:]
	}
	return tokens, true
}

// quoted returns what stands before the closing quote, and what comes after it. A backslash takes the sense from the next
// character, but for the letters that stand for control characters.
func quoted(text string, quote rune) (token, rest string, closed bool) {
	var b strings.Builder
	escaped := false
	for i, r := range text {
		switch {
		case escaped:
			if at := strings.IndexRune("abfnrtv", r); at >= 0 {
				r = rune("\a\b\f\n\r\t\v"[at])
			}
			b.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped = true
		case r == quote:
			return b.String(), text[i+1:], true
		default:
			b.WriteRune(r)
		}
	}
	return "", "", false
}
