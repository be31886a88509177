package security

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Secret is a reference to a password, a token or the like. It never prints what it refers to, nor itself. The zero
// value is no secret. A Secret may be used by many goroutines.
type Secret struct {
	ref string
	// read is a function so that nothing that walks through values, be it a printer of structures, meets what it returns.
	read func() (string, error)
}

const redacted = "[redacted]"

// ErrLiteralSecret is the cause when a secret is given itself instead of a reference to it.
var ErrLiteralSecret = errors.New("a secret is given by reference, as env:NAME or file:/path, never itself")

// ParseSecret reads a reference: "env:NAME" is the environment variable NAME, "file:/path" the content of a file without
// its last line feed and without a byte order mark. "" is no secret. Whether the variable or the file is there is not looked at. The error does not
// hold text, which may be the secret itself.
func ParseSecret(text string) (Secret, error) {
	if text == "" {
		return Secret{}, nil
	}
	kind, rest, _ := strings.Cut(text, ":")
	switch {
	case kind == "env" && rest != "":
		return Secret{text, func() (string, error) { return fromEnv(rest) }}, nil
	case kind == "file" && filepath.IsAbs(rest):
		return Secret{text, func() (string, error) { return fromFile(rest) }}, nil
	case kind == "file":
		return Secret{}, errors.New("a secret's file: needs an absolute path, as file:/path")
	}
	return Secret{}, ErrLiteralSecret
}

// MustSecret is ParseSecret for references that stand in the program. It panics where ParseSecret fails, without text.
func MustSecret(text string) Secret {
	s, err := ParseSecret(text)
	if err != nil {
		panic("security.MustSecret: " + err.Error())
	}
	return s
}

func fromEnv(name string) (string, error) {
	value := os.Getenv(name)
	if value == "" {
		return "", fmt.Errorf("the environment variable %s is empty or not set", name)
	}
	return value, nil
}

func fromFile(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if text, err = plainText(text); err != nil {
		return "", fmt.Errorf("the file %s: %w", path, err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if value == "" {
		return "", fmt.Errorf("the file %s is empty", path)
	}
	return value, nil
}

// IsZero says whether s is no secret.
func (s Secret) IsZero() bool { return s.read == nil }

// Read returns what s refers to as it is now; nothing is kept. The error names the reference, not what it refers to.
func (s Secret) Read() (string, error) {
	if s.read == nil {
		return "", errors.New("no secret is given")
	}
	return s.read()
}

// Reference returns what ParseSecret was given, which names the secret and does not hold it: env:NAME or file:/path. For a secret that stands
// in a client.properties it returns "".
func (s Secret) Reference() string { return s.ref }

// file is the path of the file that s refers to; "" if it does not.
func (s Secret) file() string {
	path, _ := strings.CutPrefix(s.ref, "file:")
	if path == s.ref {
		return ""
	}
	return path
}

// String returns "[redacted]", or "" for no secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString returns what String does.
func (s Secret) GoString() string { return s.String() }

// Format writes what String returns, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns what String does; JSON and YAML use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns what String does.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
