package integration

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

	"github.com/eos-pipe/eos-pipe/internal/kafkatest"
	"github.com/eos-pipe/eos-pipe/offsets"
	"github.com/eos-pipe/eos-pipe/processor"
)

// truncatedPipe is a pipe whose input loses its end, which the pipe has processed, by an unclean election.
type truncatedPipe struct {
	*pipe
	name string
	run  *process // nil while it is stopped
}

// The input's topics allow unclean elections, and their leader dies for good while the only other replica lags: the end of
// the log is gone, below what the group has committed. A pipe that runs meanwhile, one that is started afterwards, and one
// that is started when new records stand at the offsets that were lost, all stop and say that the log was truncated. None
// goes back to process again what it has processed, and none takes the new records for those that it has processed.
func testUncleanElection(t *testing.T, cluster *kafkatest.Cluster) {
	const leader, lagging, kept, lost = 1, 2, 300, 200
	var pipes []*truncatedPipe
	for _, name := range []string{"running", "stopped", "overwritten"} {
		p := newPipe(t, cluster, shape{from: []int32{1}, to: []int32{1}}, threeFlags...)
		p.allowUnclean(leader, lagging)
		p.fill(kept)
		pipes = append(pipes, &truncatedPipe{pipe: p, name: name, run: p.start(name)})
		p.awaitAll()
	}
	cluster.Kill(t, lagging)
	for _, p := range pipes {
		p.fill(lost)
		p.awaitAll()
		if p.name != "running" {
			p.run.drain(syscall.SIGTERM)
		}
		p.run.doomed = true
	}
	cluster.Kill(t, leader)
	cluster.Restart(t, lagging)
	for _, p := range pipes {
		p.requireTruncated(kept)
		if p.name == "overwritten" {
			p.feeding = feeding{} // the old producer's sequence is unknown to the new leader
			p.fill(2 * lost)
		}
		if p.name != "running" {
			p.run = p.start(p.name)
		}
		hint := p.run.requireFails(time.Minute, 4, "truncated", p.from[0])
		t.Logf("%s: %q, %s", p.name, p.run.said()[0], hint)
		p.requireOutputs(kept + lost)
	}
	cluster.Restart(t, leader)
}

// allowUnclean has the input on two brokers, led by the first, and taken with one of them in sync; any may lead.
func (p *pipe) allowUnclean(leader, other int32) {
	p.t.Helper()
	p.alterTopic(p.from[0], "unclean.leader.election.enable", "true")
	p.alterTopic(p.from[0], "min.insync.replicas", "1")
	var move kadm.AlterPartitionAssignmentsReq
	move.Assign(p.from[0], 0, []int32{leader, other})
	moved, err := p.adm.AlterPartitionAssignments(p.t.Context(), move)
	require.NoError(p.t, errors.Join(err, moved.Error()))
	p.await("the input is on two brokers", 30*time.Second, func(ctx context.Context) (bool, error) {
		all := kadm.TopicsSet{}
		all.Add(p.from[0], 0)
		if _, err := p.adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, all); err != nil {
			return false, err
		}
		topics, err := p.adm.ListTopics(ctx, p.from[0])
		detail := topics[p.from[0]].Partitions[0]
		return detail.Leader == leader && slices.Equal(detail.Replicas, []int32{leader, other}) && len(detail.ISR) == 2, err
	})
}

// requireTruncated requires that the input ends there.
func (p *pipe) requireTruncated(end int64) {
	p.t.Helper()
	p.await("the input has a leader", 30*time.Second, func(ctx context.Context) (bool, error) {
		ends, err := p.listed(ctx, p.adm.ListEndOffsets, p.from)
		if err != nil {
			return false, err
		}
		require.Equal(p.t, end, sum(ends), "the input was not truncated")
		return true, nil
	})
}

// requireOutputs requires that the group has committed n offsets, and that the output holds each of these records once.
func (p *pipe) requireOutputs(n int64) {
	p.t.Helper()
	p.awaitNothingOpen(30 * time.Second)
	stable, err := p.stable(p.t.Context())
	require.NoError(p.t, err)
	require.Equal(p.t, n, sum(stable), "what the group has committed")
	ends, err := p.listed(p.t.Context(), p.adm.ListCommittedOffsets, p.to)
	require.NoError(p.t, err)
	next := int64(0)
	require.NoError(p.t, p.read(p.t.Context(), ends, func(r *kgo.Record) {
		from, ok := processor.ProvenanceOf(r)
		require.True(p.t, ok)
		require.Equal(p.t, offsets.Partition{Topic: p.from[0]}, from.Partition)
		require.Equal(p.t, next, from.Offset)
		next++
	}))
	require.Equal(p.t, n, next, "records in the output")
}
