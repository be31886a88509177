// Package names finds what no name of a group, a client or an instance should have, since nobody sees it: a blank or a byte order mark at its
// ends, or a control character anywhere. Brokers take such names, and take them for other ones: a group "g\n" starts all over again beside the
// group "g".
package names

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// bom is the byte order mark that some programs write in front of a text.
const bom = '\uFEFF'

// Check returns what is wrong with name, in words that follow it, or nil.
func Check(name string) error {
	for _, r := range name {
		if unicode.IsControl(r) {
			return fmt.Errorf("has the control character %U in it", r)
		}
	}
	unseen := func(r rune) bool { return unicode.IsSpace(r) || r == bom }
	switch {
	case strings.TrimLeftFunc(name, unseen) != name:
		return errors.New("begins with a blank or a byte order mark")
	case strings.TrimRightFunc(name, unseen) != name:
		return errors.New("ends with a blank or a byte order mark")
	}
	return nil
}
