package eos

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// What happens round by round, and when a partition is suspected that begins at offset 10. Each word is one thing that happens:
// empty, busy and idle are rounds: the client had nothing more to give, gave as much as it was asked for, was not asked; all of them say how often.
func TestStandstill(t *testing.T) {
	p := offsets.Partition{Topic: "in", Number: 0}
	for name, tc := range map[string]struct {
		happens  string
		suspects int64 // the offset, or -1
	}{
		"nothing comes for half a minute":                 {"empty*6", 10},
		"nothing comes, and it is not half a minute yet":  {"empty*5", -1},
		"nothing comes, and it is not asked: a handler":   {"idle*1000", -1},
		"the handler's time is not counted":               {"empty*5 idle*1000", -1},
		"other partitions keep the session busy":          {"busy*119", -1},
		"other partitions keep the session busy for long": {"busy*120", 10},
		"some comes":                                        {"empty*5 came:20 empty*5", -1},
		"some comes, and then nothing":                      {"empty*5 came:20 empty*6", 20},
		"an error comes, or there is nothing more":          {"empty*5 excuse empty*5", -1},
		"after an error nothing comes":                      {"empty*5 excuse empty*6", 10},
		"the client goes back to what is committed":         {"came:20 committed:15 came:30 back empty*6", 15},
		"to go back is no sign of life":                     {"came:20 empty*3 back empty*3", 10},
		"it is taken away":                                  {"empty*5 gone empty*6", -1},
		"it comes back":                                     {"empty*5 gone assigned:12 empty*6", 12},
		"a new client makes no difference: twice as long":   {"empty*6 convict:10 assigned:10 empty*11", -1},
		"and then it is suspected again":                    {"empty*6 convict:10 assigned:10 empty*12", 10},
		"and then four times as long":                       {"empty*6 convict:10 assigned:10 empty*12 convict:10 assigned:10 empty*23", -1},
		"somewhere else it is as at first":                  {"empty*6 convict:10 assigned:11 empty*6", 11},
		"what has come makes it as at first":                {"empty*6 convict:10 assigned:10 came:11 assigned:10 empty*6", 10},
		"no longer than half an hour and two minutes":       {strings.Repeat("empty*1000 convict:10 assigned:10 ", 10) + "empty*384", 10},
		"something came while the brokers were asked about": {"empty*6 came:11 acquit:10 empty*5", -1},
	} {
		t.Run(name, func(t *testing.T) {
			var x standstill
			x.assigned(p, 10, true)
			var last offsets.Set
			for word := range strings.FieldsSeq(tc.happens) {
				last = happen(t, &x, p, word)
			}
			if tc.suspects < 0 {
				require.Empty(t, last)
				return
			}
			require.Equal(t, offsets.Set{p: offsets.NewPosition(tc.suspects)}, last)
		})
	}
}

// happen has one thing happen, or as many rounds as it says, and returns what is suspected after the last of them.
func happen(t *testing.T, x *standstill, p offsets.Partition, word string) (suspects offsets.Set) {
	what, count, isRound := strings.Cut(word, "*")
	if isRound {
		for range offsetIn(t, count) {
			if what != "idle" {
				x.polled(what == "empty")
			}
			suspects = x.look()
		}
		return suspects
	}
	what, offset, _ := strings.Cut(word, ":")
	switch what {
	case "came":
		x.came(p, offsetIn(t, offset))
	case "excuse":
		x.excuse(p)
	case "committed":
		x.committed(offsets.Set{p: offsets.NewPosition(offsetIn(t, offset))})
	case "back":
		x.rewound()
	case "gone":
		x.gone(p)
	case "assigned":
		x.assigned(p, offsetIn(t, offset), true)
	case "convict":
		require.True(t, x.convict(p, offsetIn(t, offset)))
	case "acquit":
		require.False(t, x.convict(p, offsetIn(t, offset)))
	default:
		t.Fatalf("%q cannot happen", word)
	}
	return nil
}

func offsetIn(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return n
}

// A round counts in full where the session has waited for the client, or got less than it asked for, by fetches that can have left nothing
// out; and not at all while the brokers have the client wait.
func TestWatchdogRounds(t *testing.T) {
	p := offsets.Partition{Topic: "in", Number: 0}
	for name, tc := range map[string]struct {
		round  func(*watchdog)
		silent int
	}{
		"got less":             {func(w *watchdog) { w.asks(1000); w.gets(true) }, hungryRound},
		"got all":              {func(w *watchdog) { w.asks(1000); w.gets(false) }, busyRound},
		"waits":                {func(w *watchdog) { w.asks(1000) }, hungryRound},
		"was not asked":        {func(*watchdog) {}, 0},
		"a fetch was large":    {func(w *watchdog) { w.asks(1000); fetchOf(w, 500); w.gets(true) }, busyRound},
		"a fetch was small":    {func(w *watchdog) { w.asks(1000); fetchOf(w, 499); w.gets(true) }, hungryRound},
		"the brokers throttle": {func(w *watchdog) { w.asks(1000); w.OnBrokerThrottle(kgo.BrokerMetadata{}, time.Minute, true) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var w watchdog
			w.assigned(p, 10, true)
			tc.round(&w)
			w.suspects(time.Now().Add(lookInterval))
			require.Equal(t, tc.silent, w.parts[p].silent)
		})
	}
}

func fetchOf(w *watchdog, bytes int) {
	w.OnBrokerE2E(kgo.BrokerMetadata{}, kmsg.Fetch.Int16(), kgo.BrokerE2E{BytesRead: bytes})
}
