// Package eos is a transactional session over franz-go: it polls records, the caller processes them, and the outputs
// are produced and committed together with the input's offsets, in one Kafka transaction.
//
//	s, err := eos.Open(ctx, eos.Config{
//		BootstrapServers: []string{"localhost:9092"},
//		Group: "billing", TransactionalID: "billing-host1-0", Topics: []string{"orders"},
//	})
//	for {
//		batch, err := s.Poll(ctx)
//		...
//		err = s.Commit(ctx, batch, outputs(batch))   // nil if and only if committed
//	}
//
// There is no Begin and no End: nothing can be called in the wrong order, and there is no boolean to misread.
//
// # The guarantee
//
// For every input record that the group has committed, a reader with isolation.level=read_committed sees the outputs that
// were passed to Commit exactly once, whichever processes crash, whichever instance takes over, and whichever answers are
// lost. It holds for what is in Kafka: side effects elsewhere, readers with read_uncommitted, and an application that
// writes the same business record twice are outside of it.
//
// # The states of a session
//
//	Starting ─→ Polling ─→ Preparing ─→ InTxn ─→ Flushing ─→ Committing ─→ Polling
//	                ↑                      └─────────┴─→ Aborting ─┤
//	                └───────── Resolving ←── Replacing ←───────────┴─ an answer was lost, a client failed
//	Stopped: closed, fenced by another instance, or failed with an error that another try would not mend
//
// # Rules, and where they are kept
//
//   - Commit only if every produce was confirmed: transaction.flush (commit.go).
//   - An error from the end of a transaction is "unknown", never "aborted". The client is discarded; a new one with the
//     same ids makes the coordinator decide, and the group's stable offsets show how: transaction.inDoubt (doubt.go).
//   - The producer id comes before the group: Session.connect (client.go).
//   - No transaction begins where the marker of the one before is missing: gate (markers.go).
//   - Every partition has a committed offset before any of its records is handed out: client.startOffsets (client.go).
//   - An offset counts only for the topic that it was committed for: Session.checkAssigned (inputs.go).
//   - Keys stay where they are: partitioner and Session.confirm (partitions.go).
//   - No automatic offset reset, read_committed always: Session.options (options.go).
//   - The markers decide what was aborted, not the broker's list: Session.hold (held.go).
//   - What is committed is what was processed: offsets.Tracker and transaction.rewriteOffsets (held.go).
//   - A session that another instance has fenced stops; one that only timed out continues: Session.replace (recover.go).
//   - What a transaction's end is known to be is one value, which certain events change: phase (phase.go).
//   - What to do about each Kafka error is in one table: rows (errortable.go).
//
// # Glossary
//
// A batch is what one Poll hands out and one transaction processes. The predecessor is the process that had the same
// transactional id before. To fence is to take a higher producer epoch, after which the brokers refuse the predecessor.
// Stable offsets are committed offsets of a group on which no transaction is open (KIP-447). To rewind is to seek the
// client to the committed offsets.
//
// Start reading at Session.Poll (poll.go), then transaction.run (commit.go).
package eos
