package model

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/trace"
)

// A preparing state without a pending change exists in Kafka only for an instant within one step, and cannot be seen from outside.
// These are the answers of its tables for that instant: TV1's EndTxn tells the same end from the other, TV2's fences the current
// epoch and knows the one before, adding asks to come again.
func TestPreparedWithoutPendingChange(t *testing.T) {
	t.Parallel()
	r := DefaultRules()
	for _, state := range []TxnState{PrepareCommit, PrepareAbort} {
		c := coordinator{index: map[string]*Txn{}}
		txn := &Txn{ID: "A", ProducerID: 7, PrevProducerID: 7, NextProducerID: -1, Epoch: 1, LastEpoch: 0, State: state, Pending: noState}
		c.put(txn)
		same, other := state == PrepareCommit, state == PrepareAbort
		end := func(version int16, epoch int16, isCommit bool) trace.Code {
			q := EndTxnRequest{Version: version, TxnID: "A", Producer: trace.Producer{ID: 7, Epoch: epoch}, IsCommit: isCommit}
			code, _ := txn.endTV1(q, 0, &r)
			if version >= 5 {
				code, _ = c.end(txn, q, 0, &r)
			}
			return code
		}
		require.Equal(t, trace.ConcurrentTransactions, end(4, 1, same))
		require.Equal(t, trace.InvalidTxnState, end(4, 1, other))
		require.Equal(t, trace.ProducerFenced, end(4, 0, same))
		require.Equal(t, trace.ProducerFenced, end(5, 1, same))
		require.Equal(t, trace.ProducerFenced, end(5, 1, other))
		require.Equal(t, trace.ConcurrentTransactions, end(5, 0, same))
		require.Equal(t, trace.InvalidTxnState, end(5, 0, other))
		require.Equal(t, trace.ProducerFenced, end(5, 7, same))

		add := func(id int64, epoch int16) trace.Code {
			code, _ := c.add("A", trace.Producer{ID: id, Epoch: epoch}, trace.Partition{Topic: "t"}, 2, 0, &r)
			return code
		}
		require.Equal(t, trace.ConcurrentTransactions, add(7, 1))
		require.Equal(t, trace.ProducerFenced, add(7, 0))
		require.Equal(t, trace.InvalidProducerIDMapping, add(8, 1))
		init := c.init(txn, InitProducerIDRequest{Version: 5, Expected: trace.NoProducer}, 0, &r)
		require.Equal(t, trace.ConcurrentTransactions, init.Code)
		require.Equal(t, state, txn.State, "nothing has changed")
	}
}

// Groups are kept where Kafka keeps them: by the hash that Java computes of their names.
func TestOffsetsPartition(t *testing.T) {
	t.Parallel()
	b := NewBroker(DefaultRules())
	for group, hash := range map[string]int32{"": 0, "g": 103, "group": 98629247, "polygenelubricants": -2147483648} {
		require.Equal(t, hash, javaHash(group), group)
	}
	require.Equal(t, trace.Partition{Topic: "__consumer_offsets", Number: 103 % 50}, b.OffsetsPartition("g"))
	require.Equal(t, int32(0), b.OffsetsPartition("polygenelubricants").Number, "the hash without a positive counterpart")
}

// Sequences count modulo 2^31, in both directions.
func TestSequenceArithmetic(t *testing.T) {
	t.Parallel()
	const top = 2147483647
	for _, c := range []struct{ from, by, want int32 }{{0, 0, 0}, {5, 3, 8}, {top - 1, 1, top}, {top, 1, 0}, {top - 1, 3, 1}, {top, top, top - 1}} {
		require.Equal(t, c.want, increment(c.from, c.by), c)
		require.Equal(t, c.from, decrement(c.want, c.by), c)
	}
}

// Producer ids come in blocks of a thousand; a restart begins the next block, and no id is ever handed out twice.
func TestIDs(t *testing.T) {
	t.Parallel()
	var ids IDs
	require.Equal(t, int64(0), ids.Next())
	ids.Restart()
	require.Equal(t, int64(1000), ids.Next())
	for range 999 {
		ids.Next()
	}
	require.Equal(t, int64(2000), ids.Next())
	ids.Restart()
	ids.Restart()
	require.Equal(t, int64(3000), ids.Next())
}

// The guard closes a race that single requests cannot show: a batch is verified, then a marker ends the transaction, then the batch
// arrives. Without the guard it would open a transaction that nobody ends.
func TestGuard(t *testing.T) {
	t.Parallel()
	r := DefaultRules()
	p := NewPartition(trace.Partition{Topic: "t"})
	b := &Batch{ProducerID: 7, Count: 1, IsTransactional: true}
	guard, code, _ := p.StartVerification(b, false, 0, &r)
	require.Equal(t, trace.None, code)
	require.Equal(t, trace.None, p.WriteMarker(Marker{ProducerID: 7}, 0, &r).Code)
	a := p.Append(b, guard, 0, &r)
	require.Equal(t, trace.InvalidTxnState, a.Code)
	require.Equal(t, NotVerified, a.Reason)

	guard, _, _ = p.StartVerification(b, false, 0, &r)
	require.Equal(t, trace.None, p.Append(b, guard, 0, &r).Code)
	require.Equal(t, []int64{7}, p.OpenTransactions())
}

// A history that is cloned goes on apart from its clone, across the borders of chunks.
func TestHistory(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 1, chunkLength - 1, chunkLength, chunkLength + 1, 3 * chunkLength} {
		var h history[int]
		for i := range length {
			h.add(i)
		}
		clone := h.clone()
		for i := range 2 * chunkLength {
			h.add(-i)
			clone.add(i * 1000)
		}
		require.Equal(t, length+2*chunkLength, clone.len())
		for i := range length {
			require.Equal(t, i, *h.at(i))
			require.Equal(t, i, *clone.at(i))
		}
		for i := range 2 * chunkLength {
			require.Equal(t, -i, *h.at(length + i))
			require.Equal(t, i*1000, *clone.at(length + i))
		}
	}
}

// Every reason says what the rule is, every class has a name, and what brokers decide cites where Kafka keeps it.
func TestReasons(t *testing.T) {
	t.Parallel()
	for r := NoReason + 1; r < numReasons; r++ {
		require.NotEmpty(t, r.String(), "reason %d", r)
		require.True(t, r == TooManyWorlds || r.Source() != "", r)
	}
	for _, c := range Classes() {
		require.NotEmpty(t, c.String())
	}
}

// Flaws have names, each once.
func TestFlaws(t *testing.T) {
	t.Parallel()
	for f := range numFlaws {
		parsed, ok := ParseFlaw(f.String())
		require.True(t, ok)
		require.Equal(t, f, parsed)
	}
	_, ok := ParseFlaw("nothing")
	require.False(t, ok)
}
