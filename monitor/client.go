package monitor

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"
)

// clientNamespace begins the names of kprom's metrics.
const clientNamespace = "eos_pipe_client"

// clientHooks are kprom's metrics of what franz-go's clients send and get, summed over all clients of the process.
//
// kprom registers its metrics anew for each client that is made, and takes them away when one is closed. A session has several at once,
// and replaces them: so of its hooks only those are handed on that count, and it is told once of "a client", before there is any.
type clientHooks struct{ events }

// events are kprom's hooks that count.
type events interface {
	kgo.HookBrokerConnect
	kgo.HookBrokerDisconnect
	kgo.HookBrokerWrite
	kgo.HookBrokerRead
	kgo.HookBrokerE2E
	kgo.HookBrokerThrottle
	kgo.HookProduceBatchWritten
	kgo.HookFetchBatchRead
}

func newClientHooks(to prometheus.Registerer) clientHooks {
	k := kprom.NewMetrics(clientNamespace, kprom.Registerer(ofNoClient{to}), kprom.FetchAndProduceDetail(kprom.ByNode, kprom.ByTopic, kprom.Batches, kprom.Records, kprom.CompressedBytes, kprom.UncompressedBytes, kprom.ConsistentNaming))
	k.OnNewClient(nil)
	return clientHooks{k}
}

// ofNoClient is a Registerer that leaves out the gauges that ask one certain client: the sizes of its buffers.
type ofNoClient struct{ prometheus.Registerer }

// MustRegister implements prometheus.Registerer.
func (r ofNoClient) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if _, asks := c.(prometheus.GaugeFunc); !asks {
			r.Registerer.MustRegister(c)
		}
	}
}

// Register implements prometheus.Registerer.
func (r ofNoClient) Register(c prometheus.Collector) error {
	if _, asks := c.(prometheus.GaugeFunc); asks {
		return nil
	}
	return r.Registerer.Register(c)
}
