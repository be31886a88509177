package offsets_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// A position is written with its leader epoch when that is known, and read back the same.
func TestPositionText(t *testing.T) {
	t.Parallel()
	for text, p := range map[string]offsets.Position{
		"0":                   offsets.NewPosition(0),
		"42":                  offsets.NewPosition(42),
		"42@7":                {Offset: 42, LeaderEpoch: 7},
		"0@0":                 {},
		"9223372036854775807": offsets.NewPosition(math.MaxInt64),
		"1@2147483647":        {Offset: 1, LeaderEpoch: math.MaxInt32},
	} {
		require.Equal(t, text, p.String())
		got, err := offsets.ParsePosition(text)
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
}

// A position made from an offset alone has the epoch that Kafka's protocol sends for "unknown".
func TestNewPosition(t *testing.T) {
	t.Parallel()
	require.Equal(t, offsets.Position{Offset: 42, LeaderEpoch: -1}, offsets.NewPosition(42))
	require.Equal(t, "42", offsets.Position{Offset: 42, LeaderEpoch: -2}.String(), "any negative epoch is unknown")
}

// Offsets that Kafka cannot commit, and second spellings of an epoch or offset, are refused.
func TestParsePositionRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                    `offset: "" is not`,
		"@7":                  `offset: "" is not`,
		"-1":                  `offset: "-1" is not`,
		"042":                 `offset: "042" is not`,
		" 42":                 `offset: " 42" is not`,
		"9223372036854775808": `from 0 to 9223372036854775807`,
		"42@":                 `leader epoch behind the @: "" is not`,
		"42@-1":               `leader epoch behind the @: "-1" is not`,
		"42@7@8":              `leader epoch behind the @: "7@8" is not`,
		"42@2147483648":       `from 0 to 2147483647`,
	} {
		_, err := offsets.ParsePosition(text)
		require.ErrorContains(t, err, want, text)
	}
}

// Whatever text is accepted is the very text that String gives.
func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"42", "42@7", "0@0", "-1", "042", "42@-1", "1@2147483648"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := offsets.ParsePosition(s)
		if err != nil {
			require.Zero(t, p)
			return
		}
		require.Equal(t, s, p.String())
	})
}
