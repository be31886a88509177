package eostest

import (
	"slices"

	"github.com/eos-pipe/eos-pipe/trace"
	"github.com/eos-pipe/eos-pipe/validator"
)

// Requests on one connection take effect in their order. Of requests that overlap on several connections nobody can tell: each took
// effect some time between its sending and its answer. This file looks for an order within these bounds that explains the answers,
// beginning with the order of the answers, which is nearly always right.

// item is an event, and between which steps it took effect.
type item struct {
	event      trace.Event
	timeMs     int64
	sent, done int64 // done is 0 without an answer
	conn       int64
}

// at is where the item stands at first.
func (i item) at() int64 {
	if i.done == 0 {
		return i.sent
	}
	return i.done
}

// items lists what was seen, in the order of answers; what was not answered stands where it was sent.
func (w *Watcher) items() []item {
	w.mu.Lock()
	defer w.mu.Unlock()
	var items []item
	for _, x := range w.seen {
		for _, e := range x.events {
			if add, ok := implicitAdd(e, w.config.broker); ok {
				items = append(items, item{event: add, timeMs: x.timeMs, sent: x.sent, conn: x.conn})
			}
			items = append(items, item{event: e, timeMs: x.timeMs, sent: x.sent, done: x.done, conn: x.conn})
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return int(a.at() - b.at()) })
	return items
}

// implicitAdd is the first half of a request that was refused. The coordinator adds the partition to the transaction (KIP-890), then the
// partition's leader appends to it; between the two, others can end the transaction, or fence the producer. So what was refused in the
// second half may have opened a transaction, some time since it was sent.
func implicitAdd(e trace.Event, b *validator.Broker) (trace.Event, bool) {
	switch e := e.(type) {
	case trace.Produce:
		if e.Transactional && e.Version >= 12 && isRefused(e) && e.Code != trace.ConcurrentTransactions {
			return trace.AddPartitions{Client: e.Client, Version: 4, TxnID: e.TxnID.Value, Producer: e.Producer, Partitions: []trace.Partition{e.Partition}}, true
		}
	case trace.OffsetCommit:
		if e.TxnID.Valid && e.Version >= 5 && isRefused(e) && !slices.Contains(e.Codes, trace.ConcurrentTransactions) {
			to := b.OffsetsPartition(e.Group)
			return trace.AddPartitions{Client: e.Client, Version: 4, TxnID: e.TxnID.Value, Producer: e.Producer, Partitions: []trace.Partition{to}}, true
		}
	}
	return nil, false
}

// maxAttempts bounds how many orders are tried.
const maxAttempts = 100

// arrange returns the items in the best order that was tried, and what the validator says of it.
func arrange(items []item, c config) ([]item, verdict) {
	best := judge(items, c)
	attempts := 0
	for len(best.findings) > 0 {
		next, better, ok := improve(items, best, c, &attempts)
		if !ok {
			break
		}
		items, best = next, better
	}
	return items, best
}

// improve moves items around the first finding until the findings begin later.
func improve(items []item, now verdict, c config, attempts *int) ([]item, verdict, bool) {
	bad := now.findings[0].item
	for _, m := range movesAround(items, bad) {
		if *attempts++; *attempts > maxAttempts {
			break
		}
		next := slices.Insert(slices.Delete(slices.Clone(items), m.from, m.from+1), m.to, items[m.from])
		better := judge(next, c)
		judged := bad // up to here all was right before, or has changed
		if m.from > bad {
			judged++
		}
		if len(better.findings) == 0 || better.findings[0].item > judged {
			return next, better, true
		}
	}
	return nil, now, false
}

// move takes an item from its place to one before it.
type move struct{ from, to int }

// movesAround lists the moves that may explain the item at bad: itself to before others, others to before it and to before those that stand there,
// and among those before it, which may have left another state behind.
func movesAround(items []item, bad int) []move {
	var moves []move
	for to := bad - 1; to >= 0 && items[bad].mayPass(items[to]); to-- {
		moves = append(moves, move{bad, to})
	}
	for from := bad + 1; from < min(bad+maxAhead, len(items)); from++ {
		isFree := !slices.ContainsFunc(items[bad:from], func(i item) bool { return !items[from].mayPass(i) })
		for to := bad; isFree && to >= 0 && items[from].mayPass(items[to]); to-- {
			moves = append(moves, move{from, to})
		}
	}
	for from := bad - 1; from > max(bad-maxAhead, 0); from-- {
		for to := from - 1; to >= 0 && items[from].mayPass(items[to]); to-- {
			moves = append(moves, move{from, to})
		}
	}
	return moves
}

// mayPass reports whether the item may have taken effect before another that stands before it: it was sent when the other was not
// answered yet, on another connection.
func (i item) mayPass(other item) bool { return i.sent < other.at() && i.conn != other.conn }

// maxAhead is how far from an item others are looked for.
const maxAhead = 50

// verdict is what the validator says of an order.
type verdict struct {
	findings  []found
	undecided string // why the validator could not follow all that may have happened; "" if it could
}

// found is a finding about an item.
type found struct {
	item    int
	finding validator.Finding
}

// needsTime reports whether an item that comes after nowMs tells the time. Only transactions that time out and producers that are
// forgotten depend on it, and each time that is told doubles what brokers may have done before and after. So it is told where something
// was refused, where a producer begins (whose transaction may have timed out before), and where a while has passed: what began at a time
// that was not told is taken to have begun earlier.
func (i item) needsTime(nowMs int64) bool {
	const while = 60_000
	_, isInit := i.event.(trace.InitProducerID)
	return i.timeMs > nowMs+while || i.timeMs > nowMs && (isInit || isRefused(i.event))
}

// isRefused reports whether any code of the answer is an error.
func isRefused(e trace.Event) bool {
	isError := func(code trace.Code) bool { return code != trace.None && code != trace.NoReply }
	switch e := e.(type) {
	case trace.InitProducerID:
		return isError(e.Code)
	case trace.Produce:
		return isError(e.Code)
	case trace.AddPartitions:
		return slices.ContainsFunc(e.Codes, isError)
	case trace.AddOffsets:
		return isError(e.Code)
	case trace.OffsetCommit:
		return slices.ContainsFunc(e.Codes, isError)
	case trace.EndTxn:
		return isError(e.Code)
	}
	return false
}

// judge gives the items to a validator. What is in doubt is left out: a content may, or may not, be committed twice when the answer that
// would tell is lost; and with very many lost answers the validator cannot follow all that may have happened.
func judge(items []item, c config) verdict {
	var all verdict
	v, err := validator.New(validator.Config{Kafka: c.kafka, IgnoresContents: !c.isTwiceError})
	if err != nil { // Watch has refused the version
		all.undecided = err.Error()
		return all
	}
	nowMs := int64(0)
	for i, it := range items {
		if it.needsTime(nowMs) {
			nowMs = it.timeMs
			v.Observe(trace.Time{NowMs: nowMs})
		}
		for _, f := range v.Observe(it.event) {
			switch {
			case f.Class == validator.Undecided:
				all.undecided = f.String()
			case f.IsCertain:
				all.findings = append(all.findings, found{i, f})
			}
		}
	}
	return all
}

// withTime writes the times between the events.
func withTime(items []item) []trace.Event {
	var events []trace.Event
	nowMs := int64(0)
	for _, it := range items {
		if it.needsTime(nowMs) {
			nowMs = it.timeMs
			events = append(events, trace.Time{NowMs: nowMs})
		}
		events = append(events, it.event)
	}
	return events
}
