package demo

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// partitions is how many each topic has.
const partitions = 6

// broker is the embedded broker, and a client that makes the payments, through no tap.
type broker struct {
	*kfake.Cluster
	payer *kgo.Client
}

// newBroker starts a broker on a free port of the loopback interface, with the topics.
func newBroker() (*broker, error) {
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.SeedTopics(partitions, payments, "booked-exactly-once", "booked-at-least-once"),
		kfake.BrokerConfigs(map[string]string{"group.min.session.timeout.ms": "500", "group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		return nil, err
	}
	payer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ClientID("payer"))
	if err != nil {
		cluster.Close()
		return nil, err
	}
	return &broker{cluster, payer}, nil
}

// close ends both.
func (b *broker) close() {
	b.payer.Close()
	b.Close()
}

// arrival returns a channel that is closed when the broker gets a commit with that identity. What the broker is asked
// after that, it answers after the commit.
func (b *broker) arrival(identity func(kmsg.Request) string, want string) <-chan struct{} {
	arrived := make(chan struct{})
	arrive := sync.OnceFunc(func() { close(arrived) })
	for _, api := range []kmsg.Key{kmsg.EndTxn, kmsg.OffsetCommit} {
		b.ControlKey(api.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			if identity(req) == want {
				arrive()
			}
			return nil, nil, false // go on as always
		})
	}
	return arrived
}
