package wiretap_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
)

// What can be written, and the rule it means. The text is the canonical one: String gives it back.
var texts = map[string]wiretap.Rule{
	"EndTxn: drop-reply":                {API: kmsg.EndTxn, Action: wiretap.DropReply, Count: 1},
	"EndTxn: drop-reply x3":             {API: kmsg.EndTxn, Action: wiretap.DropReply, Count: 3},
	"EndTxn commit=true: drop-reply x3": {API: kmsg.EndTxn, Commit: new(true), Action: wiretap.DropReply, Count: 3},
	"EndTxn commit=false: hold-request": {API: kmsg.EndTxn, Commit: new(false), Action: wiretap.HoldRequest, Count: 1},
	"Produce topic=orders: drop-request skip 10 always": {
		API: kmsg.Produce, Topic: "orders", Action: wiretap.DropRequest, Skip: 10, Count: wiretap.Always,
	},
	"*: delay-reply 200ms always":                  {API: wiretap.AnyAPI, Action: wiretap.DelayReply, Delay: 200 * time.Millisecond, Count: wiretap.Always},
	"InitProducerID: delay-request 1.5s skip 1":    {API: kmsg.InitProducerID, Action: wiretap.DelayRequest, Delay: 1500 * time.Millisecond, Skip: 1, Count: 1},
	"TxnOffsetCommit: hold-reply":                  {API: kmsg.TxnOffsetCommit, Action: wiretap.HoldReply, Count: 1},
	"EndTxn: rewrite-error UNKNOWN_SERVER_ERROR":   {API: kmsg.EndTxn, Action: wiretap.RewriteError, ErrorCode: kerr.UnknownServerError.Code, Count: 1},
	"Produce: rewrite-error MESSAGE_TOO_LARGE x2":  {API: kmsg.Produce, Action: wiretap.RewriteError, ErrorCode: kerr.MessageTooLarge.Code, Count: 2},
	"EndTxn: cut-reply":                            {API: kmsg.EndTxn, Action: wiretap.CutReply, Count: 1},
	"EndTxn: cut-request x2":                       {API: kmsg.EndTxn, Action: wiretap.CutRequest, Count: 2},
	"Fetch: hang-reply":                            {API: kmsg.Fetch, Action: wiretap.HangReply, Count: 1},
	"* broker=127.0.0.1:9092: hang-request always": {API: wiretap.AnyAPI, Broker: "127.0.0.1:9092", Action: wiretap.HangRequest, Count: wiretap.Always},
	"EndTxn: double-request":                       {API: kmsg.EndTxn, Action: wiretap.DoubleRequest, Count: 1},
	"EndTxn: double-request 2s skip 1 x3":          {API: kmsg.EndTxn, Action: wiretap.DoubleRequest, Delay: 2 * time.Second, Skip: 1, Count: 3},
	"TxnOffsetCommit: hold-double x2":              {API: kmsg.TxnOffsetCommit, Action: wiretap.HoldDouble, Count: 2},
	"Produce topic=orders: flip-request":           {API: kmsg.Produce, Topic: "orders", Action: wiretap.FlipRequest, Count: 1},
	"Fetch: flip-reply x3":                         {API: kmsg.Fetch, Action: wiretap.FlipReply, Count: 3},
	"Fetch: unlist-aborted always":                 {API: kmsg.Fetch, Action: wiretap.UnlistAborted, Count: wiretap.Always},
	"Produce: rewrite-error 499":                   {API: kmsg.Produce, Action: wiretap.RewriteError, ErrorCode: 499, Count: 1},
}

// A rule's text and the rule are the same thing.
func TestRuleText(t *testing.T) {
	for text, rule := range texts {
		got, err := wiretap.Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, text, got.String())
		require.Equal(t, text, rule.String())
		if got.Count == 0 {
			got.Count = 1 // the zero value means one
		}
		require.Equal(t, rule, got, text)
	}
	require.Equal(t, "EndTxn when=func: call-on-reply", wiretap.Rule{
		API: kmsg.EndTxn, When: func(wiretap.Request) bool { return true }, Action: wiretap.CallOnReply,
	}.String())
}

// Every error code Kafka has can be written by its name.
func TestRuleTextOfEveryError(t *testing.T) {
	for code := int16(-1); code < 200; code++ {
		if err := kerr.TypedErrorForCode(code); err == nil || err.Code != code {
			continue
		}
		text := "EndTxn: rewrite-error " + kerr.TypedErrorForCode(code).Message
		rule, err := wiretap.Parse(text)
		require.NoError(t, err)
		require.Equal(t, code, rule.ErrorCode)
		require.Equal(t, text, rule.String())
	}
}

// What is wrong is refused with the words that show where.
func TestRuleTextRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  `no ":"`,
		"EndTxn":                            `no ":"`,
		": drop-reply":                      "no API",
		"endtxn: drop-reply":                `"endtxn" is no Kafka API`,
		"Unknown: drop-reply":               `"Unknown" is no Kafka API`,
		"EndTxn commit=maybe: drop-reply":   `"commit=maybe" is no condition`,
		"EndTxn when=func: drop-reply":      `"when=func" is no condition`,
		"Produce topic=: drop-reply":        `"topic=" is no condition`,
		"Produce commit=true: drop-reply":   "only EndTxn has it",
		"EndTxn:":                           "no action",
		"EndTxn: drop":                      "unknown action",
		"EndTxn: call-on-reply":             "needs a function",
		"EndTxn: call-after-reply":          "needs a function",
		"EndTxn: double-request -1s":        "above zero",
		"EndTxn: double-request soon":       `"soon" is not understood`,
		"EndTxn: hold-double 1s":            `"1s" is not understood`,
		"EndTxn: flip-request":              "only records have a checksum",
		"Produce: flip-reply":               "only records have a checksum",
		"EndTxn: unlist-aborted":            "only Fetch replies list aborted transactions",
		"Fetch broker=: drop-reply":         `"broker=" is no condition`,
		"EndTxn: delay-reply":               "a duration such as 200ms is missing",
		"EndTxn: delay-reply soon":          `"soon": want a duration`,
		"EndTxn: delay-reply 0s":            "above zero",
		"EndTxn: delay-reply -1s":           "above zero",
		"EndTxn: rewrite-error":             "is missing",
		"EndTxn: rewrite-error WHAT":        `"WHAT": want an error`,
		"EndTxn: rewrite-error 0":           "needs one",
		"EndTxn: drop-reply x0":             `"x0"`,
		"EndTxn: drop-reply xyz":            `"xyz"`,
		"EndTxn: drop-reply 3":              `"3" is not understood`,
		"EndTxn: drop-reply skip":           "a number is missing",
		"EndTxn: drop-reply skip -1":        "negative",
		"EndTxn: drop-reply UNKNOWN_SERVER": "not understood",
	} {
		_, err := wiretap.Parse(text)
		require.ErrorContains(t, err, want, text)
	}
}

// A rule that makes no sense is refused before it can silently never hit.
func TestRuleValidate(t *testing.T) {
	valid := wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply}
	require.NoError(t, valid.Validate())
	for name, spoil := range map[string]func(*wiretap.Rule){
		"API key 999":         func(r *wiretap.Rule) { r.API = 999 },
		"no action":           func(r *wiretap.Rule) { r.Action = 0 },
		"count -2":            func(r *wiretap.Rule) { r.Count = -2 },
		"skip -1":             func(r *wiretap.Rule) { r.Skip = -1 },
		"delay of 1s":         func(r *wiretap.Rule) { r.Delay = time.Second },
		"error code 3":        func(r *wiretap.Rule) { r.ErrorCode = 3 },
		"Call set: true":      func(r *wiretap.Rule) { r.Action, r.Call = wiretap.HoldReply, func(wiretap.Event) {} },
		"Call set: false":     func(r *wiretap.Rule) { r.Action = wiretap.CallOnReply },
		"only EndTxn has it":  func(r *wiretap.Rule) { r.API, r.Commit = kmsg.Produce, new(true) },
		"delay of 0s: delays": func(r *wiretap.Rule) { r.Action = wiretap.DelayReply },
	} {
		rule := valid
		spoil(&rule)
		require.ErrorContains(t, rule.Validate(), name)
		require.Panics(t, func() { wiretap.New().Add(rule) }, name)
	}
}

// Whatever Parse accepts, String writes so that Parse reads the same rule.
func FuzzParse(f *testing.F) {
	for text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := wiretap.Parse(text)
		if err != nil {
			return
		}
		again, err := wiretap.Parse(rule.String())
		require.NoError(t, err)
		require.Equal(t, rule.String(), again.String())
	})
}

// Skip and Count are exact when many connections match at once, and rules can be added and removed meanwhile.
func TestCountIsExactUnderConcurrency(t *testing.T) {
	const connections, requests, skip, count = 8, 50, 20, 30
	tap := wiretap.New(pipeServer())
	defer tap.Close()
	fault := tap.Add(wiretap.Rule{API: kmsg.Heartbeat, Action: wiretap.DelayReply, Delay: time.Nanosecond, Skip: skip, Count: count})
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			conn, err := tap.Dial(t.Context(), "tcp", "broker")
			if err != nil {
				return
			}
			defer conn.Close()
			for id := range int32(requests) {
				added := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply})
				if _, err := conn.Write(request(kmsg.Heartbeat, id, 10)); err != nil {
					return
				}
				readFrame(conn)
				added.Remove()
				_ = strings.Join([]string{tap.Log()[0].String()}, "")
			}
		})
	}
	wg.Wait()
	require.Equal(t, connections*requests, tap.Count(kmsg.Heartbeat))
	require.Equal(t, count, fault.Hits())
	<-fault.Spent()
	hit := 0
	for i, e := range tap.Log() {
		if e.Fault != "" {
			hit++
			require.Equal(t, "Heartbeat: delay-reply 1ns skip 20 x30", e.Fault)
			require.GreaterOrEqual(t, i, skip)
		}
	}
	require.Equal(t, count, hit)
}

// Every rule that matches acts, in order of Add, until one drops; those after it are not used up.
func TestRulesActInOrder(t *testing.T) {
	tap := wiretap.New(pipeServer())
	defer tap.Close()
	var order []string
	call := func(name string, action wiretap.Action) *wiretap.Fault {
		return tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: action, Call: func(wiretap.Event) { order = append(order, name) }})
	}
	call("first", wiretap.CallOnRequest)
	call("fourth", wiretap.CallOnReply)
	call("second", wiretap.CallOnRequest)
	call("third", wiretap.CallOnRequest)
	drop := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply})
	left := call("never", wiretap.CallOnReply)
	conn, err := tap.Dial(t.Context(), "tcp", "broker")
	require.NoError(t, err)
	defer conn.Close()
	go conn.Write(request(kmsg.EndTxn, 1, 10))
	_, err = readFrame(conn)
	require.Error(t, err)
	wait(t, drop.Reached())
	require.Equal(t, []string{"first", "second", "third", "fourth"}, order)
	require.Zero(t, left.Hits())

	again := dialled(t, tap)
	go again.Write(request(kmsg.EndTxn, 1, 10))
	_, err = readFrame(again)
	require.NoError(t, err)
	require.Equal(t, 1, left.Hits())
}

// A released or removed rule matches nothing more.
func TestReleaseAndRemoveEndARule(t *testing.T) {
	tap := wiretap.New(pipeServer())
	defer tap.Close()
	removed := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DropReply})
	removed.Remove()
	released := tap.Hold(wiretap.Rule{API: kmsg.EndTxn, Count: wiretap.Always})
	released.Release()
	released.Release()
	conn, err := tap.Dial(t.Context(), "tcp", "broker")
	require.NoError(t, err)
	defer conn.Close()
	go conn.Write(request(kmsg.EndTxn, 1, 10))
	_, err = readFrame(conn)
	require.NoError(t, err)
	require.Zero(t, removed.Hits()+released.Hits())
	require.Equal(t, wiretap.HoldRequest, released.Rule().Action)
}

// The ring keeps the newest events, oldest first.
func TestLogKeepsTheNewest(t *testing.T) {
	tap := wiretap.New(pipeServer(), wiretap.Keep(4))
	defer tap.Close()
	conn, err := tap.Dial(t.Context(), "tcp", "broker")
	require.NoError(t, err)
	defer conn.Close()
	for id := range int32(7) {
		go conn.Write(request(kmsg.EndTxn, id, int(id)))
		_, err = readFrame(conn)
		require.NoError(t, err)
	}
	var got []string
	for _, e := range tap.Log() {
		got = append(got, e.String())
	}
	require.Equal(t, []string{
		"conn=1 request EndTxn v0 correlation=5 bytes=19",
		"conn=1 reply EndTxn v0 correlation=5 bytes=15",
		"conn=1 request EndTxn v0 correlation=6 bytes=20",
		"conn=1 reply EndTxn v0 correlation=6 bytes=16",
	}, got)
	require.Equal(t, 7, tap.Count(kmsg.EndTxn))
	require.Len(t, tap.Requests(kmsg.EndTxn), 2)
}

// Two requests that are matched at the same moment cannot both take the last hit.
func TestLastHitIsTakenOnce(t *testing.T) {
	tap := wiretap.New(pipeServer())
	defer tap.Close()
	var both sync.WaitGroup
	both.Add(2)
	fault := tap.Add(wiretap.Rule{API: kmsg.EndTxn, Action: wiretap.DelayReply, Delay: time.Nanosecond, When: func(wiretap.Request) bool {
		both.Done()
		both.Wait()
		return true
	}})
	var clients sync.WaitGroup
	for range 2 {
		conn := dialled(t, tap)
		clients.Go(func() { conn.Write(request(kmsg.EndTxn, 1, 10)) })
		clients.Go(func() { readFrame(conn) })
	}
	clients.Wait()
	require.Equal(t, 1, fault.Hits())
}
