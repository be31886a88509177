package schedules

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/offsets"
)

// feed writes the input, in transactions, some of which it aborts. No fault hits it but moved leaders and coordinators.
type feed struct {
	w  *world
	cl *kgo.Client
	r  *rand.Rand
}

func (w *world) newFeed() (*feed, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.Dialer(w.dial), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0), kgo.TransactionalID("feed"), kgo.MetadataMinAge(50*time.Millisecond))
	return &feed{w: w, cl: cl, r: rand.New(rand.NewPCG(w.plan.Seed, 0xfeed))}, err
}

func (f *feed) close() { f.cl.Close() }

// chunk writes a part of the input and now and then, before it, something that is aborted.
func (f *feed) chunk() error {
	n := f.w.plan.Records / (f.w.plan.Chunks + 1)
	if f.r.IntN(4) == 0 || f.w.plan.Focus == Inputs {
		if _, err := f.transaction(1+n/3, false); err != nil {
			return err
		}
	}
	rs, err := f.transaction(n, true)
	if err != nil {
		return err
	}
	w := f.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range rs {
		p := offsets.Partition{Topic: r.Topic, Number: r.Partition}
		w.inputs[p] = append(w.inputs[p], record{r.Offset, outputsOf(r.Value)})
	}
	return nil
}

// transaction writes n records, each of which says how many outputs are to be made of it: mostly one.
func (f *feed) transaction(n int, commit bool) ([]*kgo.Record, error) {
	if err := f.cl.BeginTransaction(); err != nil {
		return nil, fmt.Errorf("feed: begin: %w", err)
	}
	var rs []*kgo.Record
	for range n {
		expect := 1
		if f.r.IntN(4) == 0 {
			expect = f.r.IntN(4)
		}
		value := fmt.Append(nil, expect)
		if f.r.IntN(16) == 0 {
			value = []byte(poison)
		}
		rs = append(rs, &kgo.Record{Topic: input, Partition: int32(f.r.IntN(f.w.plan.Inputs)), Value: value})
	}
	ctx := context.Background()
	if err := f.cl.ProduceSync(ctx, rs...).FirstErr(); err != nil {
		return nil, fmt.Errorf("feed: produce: %w", err)
	}
	if err := f.cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
		return nil, fmt.Errorf("feed: end: %w", err)
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if commit {
		f.w.result.Records += n
	} else {
		f.w.result.Aborted += n
	}
	return rs, nil
}

// poison is the value of a record that is to become a dead letter: one record of the output, in another topic.
const poison = "1 poison"

// outputsOf reads from a record of the input how many outputs it asks for.
func outputsOf(value []byte) int { return int(value[0] - '0') }

func isPoison(value []byte) bool { return string(value) == poison }
