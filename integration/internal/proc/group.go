package proc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// TransactionVersion returns the version in force; without the feature it is 0.
func (p *Pipe) TransactionVersion(ctx context.Context) (int16, error) {
	versions, err := p.Adm.ApiVersions(ctx)
	if err != nil {
		return 0, err
	}
	for _, broker := range versions {
		if broker.Err != nil {
			return 0, broker.Err
		}
		for _, f := range broker.Raw().FinalizedFeatures {
			if f.Name == "transaction.version" {
				return f.MaxVersionLevel, nil
			}
		}
	}
	return 0, nil
}

// Committed returns the group's committed offsets.
func (p *Pipe) Committed(ctx context.Context) (offsets.Set, error) {
	resp, err := p.Adm.FetchOffsets(ctx, p.Group)
	if err != nil {
		return nil, err
	}
	return committedIn(resp)
}

// StableCommitted returns the group's committed offsets after every transaction that may change them has ended.
func (p *Pipe) StableCommitted(ctx context.Context) (offsets.Set, error) {
	resp, err := p.Adm.FetchOffsets(kadm.RequireStable(ctx), p.Group)
	if err != nil {
		return nil, err
	}
	return committedIn(resp)
}

func committedIn(resp kadm.OffsetResponses) (offsets.Set, error) {
	set := offsets.Set{}
	resp.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 {
			set[offsets.Partition{Topic: o.Topic, Number: o.Partition}] = offsets.NewPosition(o.At)
		}
	})
	return set, resp.Error()
}

// Sum adds up a set's offsets, of the given partitions or, without any, of all.
func Sum(set offsets.Set, only ...offsets.Partition) (n int64) {
	for p, pos := range set {
		if len(only) == 0 || slices.Contains(only, p) {
			n += pos.Offset
		}
	}
	return n
}

// AwaitCommitted waits until the group has committed at least n offsets, and returns how many they are then.
func (p *Pipe) AwaitCommitted(n int64) (now int64) {
	p.T.Helper()
	p.Await(fmt.Sprintf("the group commits %d offsets", n), 2*time.Minute, func(ctx context.Context) (bool, error) {
		set, err := p.Committed(ctx)
		now = Sum(set)
		return err == nil && now >= n, err
	})
	return now
}

// AwaitMore waits until the group has committed n offsets more than now, and returns how many they are then.
func (p *Pipe) AwaitMore(n int64) int64 {
	p.T.Helper()
	return p.AwaitCommitted(p.AwaitCommitted(0) + n)
}

// AwaitAll waits until the group has committed all that was fed.
func (p *Pipe) AwaitAll() {
	p.T.Helper()
	ends, err := p.Listed(p.T.Context(), p.Adm.ListCommittedOffsets, p.From)
	require.NoError(p.T, err)
	p.AwaitCommitted(Sum(ends))
}

// Owners returns which instance of the pipe owns which partitions; instances without one are not in it.
func (p *Pipe) Owners(ctx context.Context) (map[string][]offsets.Partition, error) {
	groups, err := p.Adm.DescribeGroups(ctx, p.Group)
	if err != nil {
		return nil, err
	}
	if len(groups[p.Group].Members) == 0 {
		return p.consumerOwners(ctx)
	}
	owners := map[string][]offsets.Partition{}
	for _, m := range groups[p.Group].Members {
		assigned, ok := m.Assigned.AsConsumer()
		if !ok || m.InstanceID == nil {
			continue
		}
		name := p.instance(*m.InstanceID)
		for _, t := range assigned.Topics {
			for _, n := range t.Partitions {
				owners[name] = append(owners[name], offsets.Partition{Topic: t.Topic, Number: n})
			}
		}
	}
	return owners, groups.Error()
}

// consumerOwners are the owners in a group of the consumer protocol.
func (p *Pipe) consumerOwners(ctx context.Context) (map[string][]offsets.Partition, error) {
	groups, err := p.Adm.DescribeConsumerGroups(ctx, p.Group)
	if err != nil {
		return nil, err
	}
	owners := map[string][]offsets.Partition{}
	for _, m := range groups[p.Group].Members {
		if m.InstanceID == nil {
			continue
		}
		name := p.instance(*m.InstanceID)
		for topic, numbers := range m.Assignment {
			for n := range numbers {
				owners[name] = append(owners[name], offsets.Partition{Topic: topic, Number: n})
			}
		}
	}
	return owners, nil // a group without members, or none
}

// instance is the instance of which a static member is a lane.
func (p *Pipe) instance(member string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(member, p.Group+"-"), "-")
	return name
}

// AwaitOwners waits until these instances, and no others, share all input partitions, and returns who owns which.
func (p *Pipe) AwaitOwners(within time.Duration, instances ...string) (owners map[string][]offsets.Partition) {
	p.T.Helper()
	p.Await(fmt.Sprintf("%v own the input", instances), within, func(ctx context.Context) (_ bool, err error) {
		owners, err = p.Owners(ctx)
		all := 0
		for _, name := range instances {
			if len(owners[name]) == 0 {
				return false, err
			}
			all += len(owners[name])
		}
		return err == nil && len(owners) == len(instances) && all == p.Partitions(), err
	})
	return owners
}

// Partitions returns how many partitions the input has.
func (p *Pipe) Partitions() int {
	p.T.Helper()
	ends, err := p.Listed(p.T.Context(), p.Adm.ListEndOffsets, p.From)
	require.NoError(p.T, err)
	return len(ends)
}

// Transaction returns what the coordinator says of the transactional id of an instance's first lane.
func (p *Pipe) Transaction(ctx context.Context, instance string) (kadm.DescribedTransaction, error) {
	id := p.Group + "-" + instance + "-0"
	described, err := p.Adm.DescribeTransactions(ctx, id)
	if err != nil {
		return kadm.DescribedTransaction{}, err
	}
	return described[id], described[id].Err
}

// FreezeInTransaction stops a process (SIGSTOP) while it has a transaction open.
func (p *Pipe) FreezeInTransaction(pr *Process) {
	p.T.Helper()
	p.Await(pr.Name+" is stopped with an open transaction", time.Minute, func(ctx context.Context) (bool, error) {
		pr.Signal(syscall.SIGSTOP)
		for range 2 { // what it had sent before it was stopped may still end the transaction; on a slow broker even later
			txn, err := p.Transaction(ctx, pr.Name)
			if err != nil || txn.State != "Ongoing" {
				pr.Signal(syscall.SIGCONT)
				return false, err
			}
		}
		return true, nil
	})
}

// AwaitProgress waits until more of these partitions is committed than before, and returns how long that took.
func (p *Pipe) AwaitProgress(owned []offsets.Partition, before offsets.Set) time.Duration {
	p.T.Helper()
	began := time.Now()
	p.Await("commits go on", time.Minute, func(ctx context.Context) (bool, error) {
		now, err := p.Committed(ctx)
		return err == nil && Sum(now, owned...) > Sum(before, owned...), err
	})
	return time.Since(began)
}

// CommitAt commits an offset of the input's only partition for the group.
func (p *Pipe) CommitAt(offset int64) {
	p.T.Helper()
	set := kadm.Offsets{}
	set.AddOffset(p.From[0], 0, offset, -1)
	require.NoError(p.T, p.Adm.CommitAllOffsets(p.T.Context(), p.Group, set))
}
