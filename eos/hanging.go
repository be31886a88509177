package eos

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/internal/cluster"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// This file finds transactions of others that stay open on the input: no read_committed reader gets past the first record of one, and a
// pipe that waits there looks like one that has nothing to do.

// openInterval is how often the ends of the input are asked for. A transaction that is seen twice at the same offset is logged.
const openInterval = 10 * time.Second

// sayOpenAgain is how long after a warning the same transaction is logged again.
const sayOpenAgain = 5 * time.Minute

// openOnes are the partitions whose last stable offset stays below their end, at an offset that the session has reached.
type openOnes map[offsets.Partition]openOne

type openOne struct {
	offset int64     // the last stable offset: that of the first record of a transaction
	said   time.Time // when it was logged; zero: not yet
}

// next takes the brokers' current answers, and returns the partitions whose open transaction must be logged.
func (o openOnes) next(now time.Time, at offsets.Set, stable, ends map[offsets.Partition]int64) (say []offsets.Partition) {
	maps.DeleteFunc(o, func(p offsets.Partition, _ openOne) bool { _, has := at[p]; return !has })
	for p, pos := range at {
		offset, known := stable[p]
		before, again := o[p]
		switch {
		case !known || offset >= ends[p] || pos.Offset < offset:
			delete(o, p)
		case !again || before.offset != offset:
			o[p] = openOne{offset: offset}
		case before.said.IsZero() || now.Sub(before.said) >= sayOpenAgain:
			o[p] = openOne{offset, now}
			say = append(say, p)
		}
	}
	return say
}

// watchOpen logs which transactions stay open on the input, until the client is closed.
func (c *client) watchOpen() {
	seen := openOnes{}
	for cluster.Sleep(c.life, openInterval) {
		at, asked := c.comeTo()
		if len(at) == 0 {
			continue
		}
		bounded, cancel := context.WithTimeout(c.life, askTimeout)
		stable, ends, err := c.s.listEnds(bounded, asked)
		if err == nil {
			for _, p := range seen.next(time.Now(), at, stable, ends) {
				c.s.sayOpen(bounded, p, stable[p], ends[p]-stable[p])
			}
		}
		cancel()
	}
}

// comeTo returns the partitions that the client has, and the offset that it has reached in each.
func (c *client) comeTo() (at offsets.Set, asked map[offsets.Partition]dueMarker) {
	cl := c.gts.Client()
	at, asked = offsets.Set{}, map[offsets.Partition]dueMarker{}
	for _, known := range []map[string]map[int32]kgo.EpochOffset{cl.CommittedOffsets(), cl.UncommittedOffsets()} {
		for topic, partitions := range known {
			for number, o := range partitions {
				p := offsets.Partition{Topic: topic, Number: number}
				at[p], asked[p] = offsets.NewPosition(max(o.Offset, at[p].Offset)), dueMarker{}
			}
		}
	}
	return at, asked
}

// sayOpen logs a warning about the transaction whose first record is at an offset of a partition.
func (s *Session) sayOpen(ctx context.Context, p offsets.Partition, offset, behind int64) {
	log := s.cfg.Logger.With("transactional_id", s.cfg.TransactionalID, "partition", p.String(), "offset", offset, "behind", behind)
	const text = "a transaction of another producer is open on the input, and no record after its first one can be read before it ends"
	producer, ok := s.ask.Opener(ctx, p, offset)
	if !ok {
		log.Warn(text)
		return
	}
	log = log.With("producer_id", producer.ProducerID)
	abort := fmt.Sprintf("kafka-transactions.sh abort --topic %s --partition %d --start-offset %d", p.Topic, p.Number, offset)
	t, err := s.ask.TransactionOf(ctx, producer.ProducerID)
	switch {
	case err != nil:
		log.Warn(text, "since", time.UnixMilli(producer.LastTimestamp), "ends", "its producer's transactional id cannot be asked for; if no producer has it, "+abort, "err", err)
	case t.State == "Ongoing":
		began := time.UnixMilli(t.StartTimestamp)
		ends := fmt.Sprintf("its producer, or the coordinator at %s", began.Add(time.Duration(t.TimeoutMillis)*time.Millisecond).UTC().Format(time.RFC3339))
		log.Warn(text, "open_transactional_id", t.TxnID, "since", began, "ends", ends)
	default:
		log.Warn(text, "open_transactional_id", t.TxnID, "since", time.UnixMilli(producer.LastTimestamp), "ends",
			"never: its coordinator treats it as ended ("+t.State+"). "+abort)
	}
}
