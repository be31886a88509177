package names_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/names"
)

// What cannot be seen in a name is a fault; what can be seen is not, whatever the alphabet, nor is a blank between words.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "billing", "billing eu", "Zählung", "支付"} {
		require.NoError(t, names.Check(name), "%q", name)
	}
	for name, want := range map[string]string{
		"g\n": "control character U+000A", "g\r\n": "control character U+000D", "a\tb": "control character U+0009", "g\x00": "control character U+0000",
		" g": "begins with", "\uFEFFg": "begins with", "g ": "ends with", "g\u00a0": "ends with", "g\uFEFF": "ends with",
	} {
		require.ErrorContains(t, names.Check(name), want, "%q", name)
	}
}
