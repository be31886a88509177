package eos

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// options returns the options of the session's client: defaults that the user may change, the user's own, and those
// that the guarantee needs, which come last and so override the others.
func (s *Session) options(c *client) []kgo.Opt {
	cfg, fetch := s.cfg, s.fetch.of(c)
	opts := s.connection(
		kgo.ProducerLinger(0),                                         // a batch is produced at once and flushed; lingering only adds latency
		kgo.MaxBufferedRecords(cfg.MaxRecords*2),                      // Produce must not block on the count: bytes are the bound
		kgo.MaxBufferedBytes(max(cfg.BufferMemory, s.largestBatch())), // a larger record would be refused
		kgo.ProducerBatchMaxBytesFn(s.maxBatch),
		kgo.MetadataMaxAge(patternInterval), // partitions that are added are found by then, as topics are
		kgo.UnknownTopicRetries(10),         // a new topic may take a moment to be known to every broker
		kgo.FetchMaxBytes(int32(fetch)),
		kgo.FetchMaxPartitionBytes(int32(min(fetch, maxPartitionFetch))),
		kgo.FetchMaxWait(500*time.Millisecond), // as Kafka's own; a partition just taken over waits for the running fetch
		kgo.WithDecompressor(s.decompressor),
		kgo.RecordPartitioner(partitioner{&s.counts}),
		kgo.OnPartitionsCallbackBlocked(c.blocked),
	)
	return append(append(opts, s.protocol(c)...),
		kgo.TransactionalID(cfg.TransactionalID),
		kgo.TransactionTimeout(cfg.TransactionTimeout),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ConsumerGroup(cfg.Group),
		kgo.InstanceID(cfg.InstanceID),
		kgo.RebalanceTimeout(max(cfg.TransactionTimeout, cfg.SessionTimeout)),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),                          // the offsets of markers are committed too, so that no lag remains at a commit marker
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), // only a placeholder: see startOffsets
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.BlockRebalanceOnPoll(),
		kgo.AdjustFetchOffsetsFn(c.startOffsets),
		kgo.OnPartitionsRevoked(c.rebalancing),
		kgo.OnPartitionsLost(c.rebalancing),
		kgo.DialTLSConfig(nil),
		kgo.Dialer(s.throttles.throttled(s.dial)),
		kgo.WithHooks(s.throttles, gate{s: s, c: c}, s.fetch, s.decompressor, &s.watch),
	)
}

// maxDecompressed is the most bytes that a fetched batch may have when it is decompressed, unless Config.Client sets another bound: a few
// kilobytes may hold a gigabyte of zeros.
const maxDecompressed = 64 << 20

// maxPartitionFetch is how many bytes of one partition are fetched at once, so that one does not keep the others waiting.
const maxPartitionFetch = 4 << 20

// connection returns the options that reach the brokers, shared by the session's client and its admin client, then
// more, then the user's own.
func (s *Session) connection(more ...kgo.Opt) []kgo.Opt {
	endTxn := kmsg.EndTxn.Int16()
	opts := append([]kgo.Opt{
		kgo.SeedBrokers(s.cfg.BootstrapServers...),
		kgo.SoftwareNameAndVersion("eos-pipe", "1"),
		kgo.ClientID(s.cfg.ClientID),
		kgo.MetadataMinAge(50 * time.Millisecond), // the default of 5 s is how long a moved leader stalls a produce
		kgo.AlwaysRetryEOF(),
		kgo.MaxDecompressBatchBytes(maxDecompressed),
		kgo.DialTimeout(5 * time.Second),
		kgo.ProduceRequestTimeout(10 * time.Second),
		// An EndTxn without an answer is not retried for long: the session knows a surer way to find out.
		kgo.RetryTimeoutFn(func(key int16) time.Duration {
			switch key {
			case endTxn:
				return 10 * time.Second
			case kmsg.ConsumerGroupHeartbeat.Int16(): // kgo sends the next one by itself; a client that closes waits for one
				return firstAsk
			case kmsg.JoinGroup.Int16(), kmsg.SyncGroup.Int16(), kmsg.Heartbeat.Int16():
				return s.cfg.SessionTimeout
			}
			return 30 * time.Second
		}),
		kgo.WithHooks(&connectionLog{log: s.cfg.Logger}),
	}, more...)
	return append(opts, s.cfg.Client...)
}

// forbidden are options that would break the guarantee if they were switched on, each with the reason.
var forbidden = []struct {
	option any
	name   string
	reason string
}{
	{kgo.DisableIdempotentWrite, "DisableIdempotentWrite", "a produce that is retried would be written twice"},
	{kgo.AllowIdempotentProduceCancellation, "AllowIdempotentProduceCancellation", "a record that was cancelled may be in the log"},
	{kgo.StopProducerOnDataLossDetected, "StopProducerOnDataLossDetected", "the session itself decides on producer errors"},
	{kgo.ServerSideBalancer, "ServerSideBalancer", "Config.GroupProtocol chooses the protocol"},
	{kgo.AutoCommitMarks, "AutoCommitMarks", "offsets are committed by the transaction only"},
	{kgo.GreedyAutoCommit, "GreedyAutoCommit", "offsets are committed by the transaction only"},
	{kgo.ManualFlushing, "ManualFlushing", "a full buffer would refuse records instead of waiting"},
	{kgo.ConsumeRegex, "ConsumeRegex", "a new topic could match that the pipe itself writes to; TopicPattern excludes these"},
	{kgo.DisableFetchCRCValidation, "DisableFetchCRCValidation", "corrupt input would become committed output"},
}

func isTrue(values []any) bool {
	b, ok := values[0].(bool)
	return ok && b
}

// checkOptions refuses those of the user's options that would break the guarantee.
func (s *Session) checkOptions() error {
	if len(s.cfg.Client) == 0 {
		return nil
	}
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.ConsumerGroup(s.cfg.Group)}, s.connection()...)...)
	if err != nil {
		return fmt.Errorf("the franz-go options in Client do not fit together: %w", err)
	}
	defer cl.Close()
	var faults []error
	if s.cfg.GroupProtocol == ConsumerProtocol && assignor(cl) == nil {
		faults = append(faults, errors.New("the franz-go option Balancers is refused: with the consumer protocol the brokers assign, uniform (a sticky balancer) or range"))
	}
	for _, r := range forbidden {
		if values := cl.OptValues(r.option); len(values) > 0 && isTrue(values) {
			faults = append(faults, fmt.Errorf("the franz-go option %s is refused: %s", r.name, r.reason))
		}
	}
	return errors.Join(faults...)
}

// connectionLog is a kgo hook that logs when a broker cannot be reached, at most every ten seconds.
type connectionLog struct {
	log  *slog.Logger
	last limiter
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (h *connectionLog) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil && !isContext(err) && h.last.allow(10*time.Second) {
		h.log.Warn("broker cannot be reached; nothing is lost, the client tries again", "broker", fmt.Sprintf("%s:%d", meta.Host, meta.Port), "err", err)
	}
}
