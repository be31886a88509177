package offsets_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// A partition is written as Kafka writes it and read back the same, wherever else the topic has dashes.
func TestPartitionText(t *testing.T) {
	t.Parallel()
	for text, p := range map[string]offsets.Partition{
		"azAZ09._--3":                   {Topic: "azAZ09._-", Number: 3},
		"orders-3":                      {Topic: "orders", Number: 3},
		"orders-0":                      {Topic: "orders", Number: 0},
		"orders-2147483647":             {Topic: "orders", Number: math.MaxInt32},
		"eu-orders-10":                  {Topic: "eu-orders", Number: 10},
		"orders--3":                     {Topic: "orders-", Number: 3},
		"--0":                           {Topic: "-", Number: 0},
		"a.b_C-7":                       {Topic: "a.b_C", Number: 7},
		"...-7":                         {Topic: "...", Number: 7},
		strings.Repeat("x", 249) + "-1": {Topic: strings.Repeat("x", 249), Number: 1},
	} {
		require.Equal(t, text, p.String())
		got, err := offsets.ParsePartition(text)
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
}

// What Kafka would refuse, or write in another way, is refused, and the error names the place.
func TestParsePartitionRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                               "no dash",
		"orders":                         "no dash",
		"-3":                             "empty topic",
		".-3":                            "refused by Kafka",
		"..-3":                           "refused by Kafka",
		strings.Repeat("x", 250) + "-1":  "topic of 250 characters; Kafka allows 249",
		"or ders-3":                      `topic contains " "`,
		"orders=3-3":                     `topic contains "="`,
		"orders-":                        `"" is not a whole number from 0 to 2147483647`,
		"orders-x":                       `"x" is not a whole number`,
		"orders-03":                      `"03" is not a whole number`,
		"orders-+3":                      `"+3" is not a whole number`,
		"orders-1_0":                     `"1_0" is not a whole number`,
		"orders-2147483648":              `"2147483648" is not a whole number`,
		"orders-99999999999999999999999": "is not a whole number",
	} {
		_, err := offsets.ParsePartition(text)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "\n")
	}
}

// Partitions come in the order of their topics, then of their numbers as numbers (2 before 10).
func TestPartitionCompare(t *testing.T) {
	t.Parallel()
	sorted := []offsets.Partition{{}, {Topic: "a", Number: 2}, {Topic: "a", Number: 10}, {Topic: "b", Number: 0}}
	for i, p := range sorted {
		for j, q := range sorted {
			require.Equal(t, i-j > 0, p.Compare(q) > 0, "%s and %s", p, q)
			require.Equal(t, i == j, p.Compare(q) == 0, "%s and %s", p, q)
		}
	}
	shuffled := []offsets.Partition{sorted[2], sorted[0], sorted[3], sorted[1]}
	slices.SortFunc(shuffled, offsets.Partition.Compare)
	require.Equal(t, sorted, shuffled)
}

// Only the zero value is zero: a topic alone, and a number alone, are something.
func TestPartitionIsZero(t *testing.T) {
	t.Parallel()
	require.True(t, offsets.Partition{}.IsZero())
	require.False(t, offsets.Partition{Topic: "orders"}.IsZero())
	require.False(t, offsets.Partition{Number: 1}.IsZero())
}

// Whatever text is accepted is the very text that String gives, so that two spellings never name one partition.
func FuzzParsePartition(f *testing.F) {
	for _, s := range []string{"orders-3", "eu-orders-10", "orders--1", "orders-03", "-", "a-2147483648"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := offsets.ParsePartition(s)
		if err != nil {
			require.Zero(t, p)
			return
		}
		require.Equal(t, s, p.String())
	})
}
