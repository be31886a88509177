package schedules

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// mutantSeeds is how many schedules a mutant may survive.
const mutantSeeds = 500

// mutant is a wrong layer: the real one, changed in one place. An edit of a file of kgo/ is one of franz-go's, where the layer
// relies on what that does.
type mutant struct {
	name  string
	focus Focus
	edits []edit
}

// mutants are the wrong layers. One that cannot be told from the right layer does not belong here.
var mutants = []mutant{
	{"commit after a failed produce", Produces, []edit{{
		"eos/commit.go",
		"if err := t.flush(ctx, own); err != nil {\n\t\treturn t.abort(ctx, err)", "if err := t.flush(ctx, own); false {\n\t\treturn t.abort(ctx, err)",
	}}},
	{"failed promises are taken for confirmed", Produces, []edit{{"eos/commit.go", "\tif err == nil {\n\t\tif at != t.at {", "\tif true {\n\t\tif at != t.at {"}}},
	{"commit without flush", Produces, []edit{{"eos/commit.go", "err := t.s.client.gts.Client().Flush(bounded)", "err := bounded.Err(); t.acked = t.sent"}}},
	{"session kept after End's error", Ends, []edit{{
		"eos/commit.go", "return t.inDoubt(ctx, err)",
		"_, _ = s.client.gts.End(ctx, kgo.TryAbort)\n\t\treturn &Error{Op: \"commit\", Outcome: Aborted, Next: PollAgain, Err: err}",
	}}},
	{"an end that aborted is not asked about", Ends, []edit{{
		"eos/doubt.go",
		"if err == nil && !stable.Covers(t.batch.next) {", "if true || err == nil && !stable.Covers(t.batch.next) {",
	}}},
	{"in doubt is taken for committed", Ends, []edit{{"eos/doubt.go", "\tt.askCoordinator(ctx)\n\treturn", "\tt.advance(offsetsCommitted)\n\treturn"}}},
	{"in doubt is taken for aborted", Ends, []edit{{"eos/doubt.go", "\tt.askCoordinator(ctx)\n\treturn", "\tt.advance(offsetsAborted)\n\treturn"}}},
	{"outcome read from any offset, not from its own mark", Ends, []edit{{
		"eos/doubt.go", "at.Offset < want.Offset, at.Offset == want.Offset && at.tag != t.tagFor(p.Topic):",
		"at.Offset == want.Offset && at.tag != t.tagFor(p.Topic):",
	}}},
	{"commit where an abort is meant", Produces, []edit{{"eos/commit.go", "End(bounded, kgo.TryAbort)", "End(bounded, kgo.TryCommit)"}}},
	{"reset to earliest", Inputs, []edit{{"eos/options.go", "kgo.ConsumeResetOffset(kgo.NoResetOffset())", "kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())"}}},
	{"reset to latest", Inputs, []edit{{"eos/options.go", "kgo.ConsumeResetOffset(kgo.NoResetOffset())", "kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd())"}}},
	{"a random transactional id", Groups, []edit{{
		"eos/options.go", "\t\tkgo.TransactionalID(cfg.TransactionalID),",
		"\t\tkgo.TransactionalID(fmt.Sprintf(\"%s-%d\", cfg.TransactionalID, time.Now().UnixNano())),",
	}}},
	{"one transactional id for all", Groups, []edit{{"eos/options.go", "\t\tkgo.TransactionalID(cfg.TransactionalID),", "\t\tkgo.TransactionalID(cfg.Group),"}}},
	{"offset one too low", "", []edit{{"eos/held.go", "one.Offset, one.LeaderEpoch, one.Metadata = pos.Offset,", "one.Offset, one.LeaderEpoch, one.Metadata = pos.Offset-1,"}}},
	{"offset one too high", Handlers, []edit{{"eos/held.go", "one.Offset, one.LeaderEpoch, one.Metadata = pos.Offset,", "one.Offset, one.LeaderEpoch, one.Metadata = pos.Offset+1,"}}},
	{"aborted records are taken on the broker's word", Inputs, []edit{{"eos/held.go", "q.Push(f.Records, f.LastStableOffset)", "q.Push(f.Records, -1)"}}},
	{"offset behind what is held", Inputs, []edit{{"eos/held.go", "one.Offset, one.LeaderEpoch, one.Metadata = pos.Offset, pos.LeaderEpoch,", "one.LeaderEpoch, one.Metadata = pos.LeaderEpoch,"}}},
	{"what is held is passed over after an abort", Handlers, []edit{ // as franz-go before v1.22.3 does, which distrust finds out
		{
			"kgo/txn.go", "current.committed, current.hasCommit = EpochOffset{p.LeaderEpoch, p.Offset}, true",
			"current.committed, current.hasCommit = current.dirty, true",
		},
		{"eos/commit.go", "\ts.client.distrust(s.held)\n", ""},
	}},
	{"read_uncommitted", Inputs, []edit{{"eos/options.go", "kgo.ReadCommitted()", "kgo.ReadUncommitted()"}}},
	{"markers of the input are not passed over", "", []edit{{"eos/options.go", "\t\tkgo.KeepControlRecords(), ", "\t\t"}}},
	{"a record in seven is produced again", Produces, []edit{{
		"eos/commit.go", "\t\tt.sent++\n",
		"\t\tif t.sent++; t.sent%7 == 0 {\n\t\t\tagain := *r\n" +
			"\t\t\tcl.Produce(own, &again, nil)\n\t\t}\n",
	}}},
	{"produced again after an error", Produces, []edit{{
		"eos/commit.go", "\t\treturn t.abort(ctx, err)\n\t}\n\tt.flushed = time.Now()",
		"\t\tt.failed, t.acked = nil, 0\n\t\tt.sent = 0\n\t\tif t.produce(ctx, own, outs) != nil || t.flush(ctx, own) != nil {\n" +
			"\t\t\treturn t.abort(ctx, err)\n\t\t}\n\t}\n\tt.flushed = time.Now()",
	}}},
	{"a handler's error is swallowed", Handlers, []edit{{"processor/process.go", "\t\tfailed.Attempts = calls\n\t\treturn w.giveUp(ctx, r, failed, m)", "\t\treturn nil"}}},
	{"partial fan-out", Handlers, []edit{{"processor/encode.go", "for i, out := range outs {\n\t\tr := source", "for i, out := range outs[:min(len(outs), 2)] {\n\t\tr := source"}}},
	{"offsets of filtered records are not committed", Handlers, []edit{{
		"processor/lane.go", "\terr = s.Commit(l.p.hard, batch,",
		"\tif len(res.records) == 0 {\n\t\tcluster.Sleep(l.soft, time.Second)\n\t\treturn false, nil\n\t}\n\terr = s.Commit(l.p.hard, batch,",
	}}},
	{"a dead letter outside the transaction", Handlers, []edit{
		{"processor/lane.go", "\t\"github.com/eos-pipe/eos-pipe/eos\"\n", "\t\"github.com/twmb/franz-go/pkg/kgo\"\n\n\t\"github.com/eos-pipe/eos-pipe/eos\"\n"},
		{
			"processor/lane.go", "\terr = s.Commit(l.p.hard, batch,",
			"\tcl, err := kgo.NewClient(append(l.p.cfg.Session.Client, kgo.SeedBrokers(l.p.cfg.BootstrapServers...), kgo.DisableIdempotentWrite())...)\n" +
				"\tif err != nil {\n\t\treturn false, err\n\t}\n\tdefer cl.Close()\n" +
				"\tres.records = slices.DeleteFunc(res.records, func(r *kgo.Record) bool {\n" +
				"\t\treturn r.Topic == l.p.cfg.DeadLetterTopic && cl.ProduceSync(l.p.hard, r).FirstErr() == nil\n\t})\n" +
				"\terr = s.Commit(l.p.hard, batch,",
		},
	}},
	{"no abort on revoke, and no generation", Absences, []edit{ // one without the others cannot be seen: each is enough
		{
			"kgo/txn.go", "\ttryCommit := !s.failed() && commitErr == nil && !hasAbortableCommitErr && (okHeartbeat || canCommitDespiteRebalance)\n",
			"\ttryCommit := commitErr == nil && !hasAbortableCommitErr\n\t_ = okHeartbeat || canCommitDespiteRebalance\n",
		},
		{"eos/commit.go", "\tif err := t.rewriteOffsets(req); err != nil {\n", "\treq.Generation, req.MemberID, req.InstanceID = -1, \"\", nil\n\tif err := t.rewriteOffsets(req); err != nil {\n"},
		{"eos/membership.go", "as.member != now.member || !kept", "false && !kept"},
	}},
	{"no abort on revoke in the consumer protocol", Consumers, []edit{ // the same
		{"kgo/txn.go", "return s.revoked || s.lost\n", "return false\n"},
		{"eos/commit.go", "if s.client.rebalanced.Load() {", "if false {"},
		{"eos/held.go", "if !t.explains(p, one.Offset) {", "if false {"},
		{"eos/held.go", "for p := range want {\n\t\treturn fault(p)", "for p := range want {\n\t\t_ = fault(p)"},
		{"eos/membership.go", "if !has {", "if false && !has {"},
		{"eos/membership.go", "as.member != now.member || !kept", "false && !kept"},
	}},
	{"commit of what another member may have had meanwhile", Absences, []edit{{
		"eos/membership.go", "as.member != now.member || !kept", "false && !kept",
	}}},
	{"no watchdog", "", []edit{{"eos/watchdog.go", "len(suspects) > 0 {\n\t\t\tc.inspect", "false {\n\t\t\tc.inspect"}}},
	{"no abort where the group refuses the offsets", Groups, []edit{{
		"kgo/txn.go", "\ttryCommit := !s.failed() && commitErr == nil && !hasAbortableCommitErr && (okHeartbeat || canCommitDespiteRebalance)\n",
		"\ttryCommit := commitErr == nil || hasAbortableCommitErr || okHeartbeat || canCommitDespiteRebalance\n",
	}}},
}

// Wrong layers, each made of the real source by one edit: the schedules find every one within 500 seeds. docs/schedules.md has the table
// of what was found where; it names the same mutants as the one above.
//
// EOS_TEST_MUTANT takes those whose name has that text.
func TestMutants(t *testing.T) {
	table := documented(t)
	only := os.Getenv("EOS_TEST_MUTANT")
	var mu sync.Mutex
	var lines []string
	slots := make(chan struct{}, 2) // as many as CI has cores
	t.Run("all", func(t *testing.T) {
		for _, m := range mutants {
			if !strings.Contains(m.name, only) {
				continue
			}
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				found, seeds := m.hunt(t)
				require.NotEmpty(t, found, "%s survives %d schedules", m.name, seeds)
				class, _, _ := strings.Cut(found, ":")
				t.Logf("%s: killed by seed %d: %s", m.name, seeds, found)
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, fmt.Sprintf("| %s | %s | %d | %s |", m.name, m.focus, seeds, class))
				require.Contains(t, table, m.name, "docs/schedules.md does not have it: | %s | %s | %d | %s |", m.name, m.focus, seeds, class)
			})
		}
	})
	t.Logf("for docs/schedules.md:\n%s", strings.Join(lines, "\n"))
	if only == "" {
		require.Len(t, table, len(mutants), "docs/schedules.md has other mutants than the test")
	}
}

// hunt plays schedules from seed 1 until one has a finding, which it returns with how many it took.
func (m mutant) hunt(t *testing.T) (found string, seeds int) {
	worker := buildWorker(t, nil, m.edits...)
	b := batch{first: 1, step: 1, count: mutantSeeds, focus: m.focus, untilFound: true}
	b.work(t, worker, func(r Result) {
		seeds++
		for _, f := range r.Findings {
			require.NotRegexp(t, "^(harness|bubble):", f, "what this shows is not the mutant's fault")
			if found == "" {
				found = f
			}
		}
	})
	return found, seeds
}

var documentedMutant = regexp.MustCompile(`(?m)^\| ([^|]+) \| [a-z]* ?\| ([0-9]+) \| [a-z ]+ \|$`)

// documented reads the mutants of docs/schedules.md.
func documented(t *testing.T) map[string]bool {
	text, err := os.ReadFile("../../docs/schedules.md")
	require.NoError(t, err)
	names := map[string]bool{}
	for _, m := range documentedMutant.FindAllStringSubmatch(string(text), -1) {
		names[strings.TrimSpace(m[1])] = true
	}
	return names
}
