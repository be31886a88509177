package fault

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/integration/internal/proc"
	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// truncatedPipe is a pipe whose input loses its end, which the pipe has processed, by an unclean election.
type truncatedPipe struct {
	*proc.Pipe
	name string
	run  *proc.Process // nil while it is stopped
}

// The input's topics allow unclean elections, and their leader dies for good while the only other replica lags: the end of
// the log is gone, below what the group has committed. A pipe that runs meanwhile, one that is started afterwards, and one
// that is started when new records stand at the offsets that were lost, all stop and say that the log was truncated. None
// goes back to process again what it has processed, and none takes the new records for those that it has processed.
func testUncleanElection(t *testing.T, cluster *kafkatest.Cluster) {
	const leader, lagging, kept, lost = 1, 2, 300, 200
	var pipes []*truncatedPipe
	for _, name := range []string{"running", "stopped", "overwritten"} {
		p := proc.New(t, cluster, proc.Shape{From: []int32{1}, To: []int32{1}}, threeFlags...)
		allowUnclean(p, leader, lagging)
		p.Fill(kept)
		pipes = append(pipes, &truncatedPipe{Pipe: p, name: name, run: p.Start(name)})
		p.AwaitAll()
	}
	cluster.Kill(t, lagging)
	for _, p := range pipes {
		p.Fill(lost)
		p.AwaitAll()
		if p.name != "running" {
			p.run.Drain(syscall.SIGTERM)
		}
		p.run.Doomed = true
	}
	cluster.Kill(t, leader)
	cluster.Restart(t, lagging)
	for _, p := range pipes {
		requireTruncated(p.Pipe, kept)
		if p.name == "overwritten" {
			p.Feeding = proc.Feeding{} // the old producer's sequence is unknown to the new leader
			p.Fill(2 * lost)
		}
		if p.name != "running" {
			p.run = p.Start(p.name)
		}
		hint := p.run.RequireFails(time.Minute, 4, "truncated", p.From[0])
		t.Logf("%s: %q, %s", p.name, p.run.Said()[0], hint)
		requireOutputs(p.Pipe, kept+lost)
	}
	cluster.Restart(t, leader)
}

// allowUnclean has the input on two brokers, led by the first, and taken with one of them in sync; any may lead.
func allowUnclean(p *proc.Pipe, leader, other int32) {
	p.T.Helper()
	alterTopic(p, p.From[0], "unclean.leader.election.enable", "true")
	alterTopic(p, p.From[0], "min.insync.replicas", "1")
	var move kadm.AlterPartitionAssignmentsReq
	move.Assign(p.From[0], 0, []int32{leader, other})
	moved, err := p.Adm.AlterPartitionAssignments(p.T.Context(), move)
	require.NoError(p.T, errors.Join(err, moved.Error()))
	p.Await("the input is on two brokers", 30*time.Second, func(ctx context.Context) (bool, error) {
		all := kadm.TopicsSet{}
		all.Add(p.From[0], 0)
		if _, err := p.Adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, all); err != nil {
			return false, err
		}
		topics, err := p.Adm.ListTopics(ctx, p.From[0])
		detail := topics[p.From[0]].Partitions[0]
		return detail.Leader == leader && slices.Equal(detail.Replicas, []int32{leader, other}) && len(detail.ISR) == 2, err
	})
}

// requireTruncated requires that the input ends there.
func requireTruncated(p *proc.Pipe, end int64) {
	p.T.Helper()
	p.Await("the input has a leader", 30*time.Second, func(ctx context.Context) (bool, error) {
		ends, err := p.Listed(ctx, p.Adm.ListEndOffsets, p.From)
		if err != nil {
			return false, err
		}
		require.Equal(p.T, end, proc.Sum(ends), "the input was not truncated")
		return true, nil
	})
}

// requireOutputs requires that the group has committed n offsets, and that the output holds each of these records once.
func requireOutputs(p *proc.Pipe, n int64) {
	p.T.Helper()
	p.AwaitNothingOpen(30 * time.Second)
	stable, err := p.StableCommitted(p.T.Context())
	require.NoError(p.T, err)
	require.Equal(p.T, n, proc.Sum(stable), "what the group has committed")
	ends, err := p.Listed(p.T.Context(), p.Adm.ListCommittedOffsets, p.To)
	require.NoError(p.T, err)
	next := int64(0)
	require.NoError(p.T, p.Read(p.T.Context(), ends, func(r *kgo.Record) {
		from, ok := processor.ProvenanceOf(r)
		require.True(p.T, ok)
		require.Equal(p.T, offsets.Partition{Topic: p.From[0]}, from.Partition)
		require.Equal(p.T, next, from.Offset)
		next++
	}))
	require.Equal(p.T, n, next, "records in the output")
}
