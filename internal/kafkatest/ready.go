package kafkatest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// waitReady returns when every living broker says that all living brokers are there, that every partition has a leader,
// and that its replicas on living brokers are in sync; if topics are named, that holds for these and they exist. Each
// broker is asked, since one that was just started may answer with what it knew before it was killed.
func (c *Cluster) waitReady(ctx context.Context, topics ...string) error {
	for i, address := range c.bootstrap {
		if len(c.dead) > 0 && c.dead[i] {
			continue
		}
		if err := c.waitBroker(ctx, address, topics); err != nil {
			return fmt.Errorf("the broker at %s is not ready: %w", address, err)
		}
	}
	return nil
}

// waitBroker asks one broker again and again until its view of the cluster is as waitReady wants it.
func (c *Cluster) waitBroker(ctx context.Context, address string, topics []string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DialTimeout(2*time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		last := c.askBroker(ctx, cl.SeedBrokers()[0], topics)
		if last == nil {
			return nil
		}
		if err == nil || ctx.Err() == nil { // of a try that ctx has cut short the error says nothing
			err = last
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		case <-again.C:
		}
	}
}

func (c *Cluster) askBroker(ctx context.Context, broker *kgo.Broker, topics []string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest() // no topics: all
	for _, topic := range topics {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: &topic})
	}
	resp, err := req.RequestWith(ctx, broker)
	if err != nil {
		return err
	}
	brokers := map[int32]bool{}
	for _, b := range resp.Brokers {
		brokers[b.NodeID] = true
	}
	for i, dead := range c.dead {
		if !dead && !brokers[int32(i+1)] {
			return fmt.Errorf("broker %d is not registered", i+1)
		}
	}
	for _, topic := range resp.Topics {
		if err := checkTopic(topic, brokers); err != nil {
			return err
		}
	}
	return nil
}

// checkTopic returns what keeps a topic from being ready, given the brokers that live.
func checkTopic(topic kmsg.MetadataResponseTopic, brokers map[int32]bool) error {
	name := "?"
	if topic.Topic != nil {
		name = *topic.Topic
	}
	if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
		return fmt.Errorf("topic %s: %w", name, err)
	}
	for _, p := range topic.Partitions {
		alive := slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool { return !brokers[id] })
		if len(alive) == 0 {
			continue // it cannot be ready before a broker comes back that is dead on purpose
		}
		if p.Leader < 0 || !brokers[p.Leader] {
			return fmt.Errorf("%s-%d has no leader", name, p.Partition)
		}
		for _, id := range alive {
			if !slices.Contains(p.ISR, id) {
				return fmt.Errorf("%s-%d: replica %d is not in sync", name, p.Partition, id)
			}
		}
	}
	return nil
}
