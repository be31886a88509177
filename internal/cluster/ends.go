package cluster

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kadm"
)

// StableEnds returns for each partition of the topics how far read_committed readers can come: its last stable offset, or the log's start where
// that is greater. A broker leaves the last stable offset at the base of the batch of an open transaction when DeleteRecords has passed it
// (Kafka 4.4.0): below the start there is nothing to read, and no place to begin. Errors of single partitions are in the answer.
func StableEnds(ctx context.Context, adm *kadm.Client, topics ...string) (kadm.ListedOffsets, error) {
	stable, err := adm.ListCommittedOffsets(ctx, topics...)
	starts, serr := adm.ListStartOffsets(ctx, topics...) // last: the start only grows
	if err := errors.Join(err, serr); err != nil {
		return nil, err
	}
	for topic, partitions := range stable {
		for number, o := range partitions {
			if start, ok := starts.Lookup(topic, number); o.Err == nil && ok && start.Err == nil && start.Offset > o.Offset {
				partitions[number] = start
			}
		}
	}
	return stable, nil
}
