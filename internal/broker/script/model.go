package script

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/trace"
)

// Model runs scripts on the model of a broker. It provides every setting that the model knows, and all steps.
type Model struct {
	rules  model.Rules
	broker *model.Broker
	topic  string
}

// NewModel returns a broker with these rules and the topic of the script. Time starts a day after 0, so that a script can
// write records with old timestamps.
func NewModel(r model.Rules, topic string) *Model {
	m := &Model{rules: r, topic: topic}
	m.reset()
	return m
}

// Broker is the model as it is now: to be looked at.
func (m *Model) Broker() *model.Broker { return m.broker }

const modelStartMs = 86_400_000

func (m *Model) reset() {
	m.broker = model.NewBroker(m.rules)
	m.broker.SetTime(modelStartMs)
	m.broker.CreateTopic(m.topic, Partitions)
}

// StartMs is the time that scripts call +0.
func (m *Model) StartMs() int64 { return modelStartMs }

// Provide sets what is asked for and begins anew.
func (m *Model) Provide(need string) (bool, error) {
	if need == "restart" || need == "steps" {
		return true, nil
	}
	name, value, _ := strings.Cut(need, "=")
	set, ok := settings[name]
	if !ok {
		return false, fmt.Errorf("the model has no setting %q", name)
	}
	if err := set(&m.rules, value); err != nil {
		return false, fmt.Errorf("setting %s: %w", need, err)
	}
	m.reset()
	return true, nil
}

var settings = map[string]func(*model.Rules, string) error{
	"transaction.version":                       func(r *model.Rules, v string) error { return setInteger(&r.TransactionVersion, v) },
	"transaction.max.timeout.ms":                func(r *model.Rules, v string) error { return setInteger(&r.MaxTxnTimeoutMs, v) },
	"transaction.partition.verification.enable": func(r *model.Rules, v string) error { return setBoolean(&r.VerifiesPartitions, v) },
	"transaction.two.phase.commit.enable":       func(r *model.Rules, v string) error { return setBoolean(&r.TwoPhaseCommit, v) },
	"unstable.api.versions.enable":              func(r *model.Rules, v string) error { return setBoolean(&r.UnstableAPIs, v) },
	"transactional.id.expiration.ms":            func(r *model.Rules, v string) error { return setInteger(&r.TxnIDExpiryMs, v) },
	"producer.id.expiration.ms":                 func(r *model.Rules, v string) error { return setInteger(&r.ProducerExpiryMs, v) },
	"producer.id.expiration.check.interval.ms":  func(r *model.Rules, v string) error { return setInteger(&r.ProducerScanMs, v) },
	"transaction.remove.expired.transaction.cleanup.interval.ms": func(r *model.Rules, v string) error {
		return setInteger(&r.TxnIDScanMs, v)
	},
	"broker.release": func(r *model.Rules, v string) error {
		release, ok := model.ReleaseOf(v)
		if !ok {
			return fmt.Errorf("no rules for release %q", v)
		}
		r.Release = release
		return nil
	},
}

func setInteger[T int8 | int64](to *T, value string) error {
	n, err := strconv.ParseInt(value, 10, 64)
	*to = T(n)
	return err
}

func setBoolean(to *bool, value string) (err error) {
	*to, err = strconv.ParseBool(value)
	return err
}

// InitProducerID answers the request.
func (m *Model) InitProducerID(q model.InitProducerIDRequest) (model.InitProducerIDAnswer, error) {
	return m.broker.InitProducerID(q), nil
}

// Produce answers the request.
func (m *Model) Produce(q model.ProduceRequest) ([]model.ProduceAnswer, error) {
	return m.broker.Produce(&q, nil), nil
}

// AddPartitions answers the request.
func (m *Model) AddPartitions(q model.AddPartitionsRequest) ([]model.PartitionAnswer, error) {
	return m.broker.AddPartitions(q), nil
}

// AddOffsets answers the request.
func (m *Model) AddOffsets(q model.AddOffsetsRequest) (model.PartitionAnswer, error) {
	return m.broker.AddOffsets(q), nil
}

// TxnOffsetCommit answers the request.
func (m *Model) TxnOffsetCommit(q model.TxnOffsetCommitRequest) ([]model.PartitionAnswer, error) {
	return m.broker.TxnOffsetCommit(q), nil
}

// OffsetCommit answers the request.
func (m *Model) OffsetCommit(q model.OffsetCommitRequest) ([]model.PartitionAnswer, error) {
	return m.broker.OffsetCommit(q), nil
}

// OffsetFetch answers the request.
func (m *Model) OffsetFetch(q model.OffsetFetchRequest) (model.OffsetFetchAnswer, error) {
	return m.broker.OffsetFetch(q), nil
}

// EndTxn answers the request.
func (m *Model) EndTxn(q model.EndTxnRequest) (model.EndTxnAnswer, error) {
	return m.broker.EndTxn(q), nil
}

// WriteTxnMarkers answers the request.
func (m *Model) WriteTxnMarkers(q model.WriteTxnMarkersRequest) ([]trace.Code, error) {
	var codes []trace.Code
	for _, a := range m.broker.WriteTxnMarkers(q) {
		codes = append(codes, a.Code)
	}
	return codes, nil
}

// Fetch answers the request.
func (m *Model) Fetch(q model.FetchRequest) (model.FetchAnswer, error) { return m.broker.Fetch(q), nil }

// ListOffsets answers the request.
func (m *Model) ListOffsets(q model.ListOffsetsRequest) (int64, trace.Code, error) {
	offset, code := m.broker.ListOffsets(q)
	return offset, code, nil
}

// DescribeTransaction answers the request.
func (m *Model) DescribeTransaction(txnID string) (model.Txn, trace.Code, error) {
	t, code := m.broker.DescribeTransaction(txnID)
	return t, code, nil
}

// DescribeProducers answers the request.
func (m *Model) DescribeProducers(p trace.Partition) ([]Producer, trace.Code, error) {
	entries, code := m.broker.DescribeProducers(p)
	var producers []Producer
	for _, e := range entries {
		producers = append(producers, Producer{ID: e.ID, Epoch: e.Epoch, LastSequence: e.LastSequence(), TxnFirstOffset: e.TxnFirstOffset})
	}
	return producers, code, nil
}

// DeleteRecords answers the request.
func (m *Model) DeleteRecords(p trace.Partition, offset int64) (trace.Code, error) {
	log := m.broker.Partition(p)
	if log == nil {
		return trace.UnknownTopicOrPartition, nil
	}
	return log.DeleteRecords(offset), nil
}

// SetGroup sets the group as it is.
func (m *Model) SetGroup(g model.Group) error {
	m.broker.SetGroup(g)
	return nil
}

// OffsetsPartition is where the offsets of the group are kept.
func (m *Model) OffsetsPartition(group string) (trace.Partition, error) {
	return m.broker.OffsetsPartition(group), nil
}

// Settle takes all markers and the completion of the transactional id.
func (m *Model) Settle(txnID string) error {
	m.broker.Settle(txnID)
	return nil
}

// Restart is a clean restart.
func (m *Model) Restart() error {
	m.broker.Restart()
	return nil
}

// Wait moves the clock to each moment at which the broker would look for time-outs or expiry, and lets it do all it then finds.
func (m *Model) Wait(ms int64) error {
	end := m.broker.NowMs() + ms
	for now := m.broker.NowMs(); now < end; {
		now = min(end, nextMultiple(now, m.rules.TimeoutScanMs), nextMultiple(now, m.rules.TxnIDScanMs), nextMultiple(now, m.rules.ProducerScanMs))
		m.broker.SetTime(now)
		for _, s := range m.broker.Steps(nil) {
			if isDue(s.Kind, now, &m.rules) {
				m.broker.Take(s)
			}
		}
	}
	return nil
}

func nextMultiple(now, interval int64) int64 { return now - now%interval + interval }

func isDue(k model.StepKind, nowMs int64, r *model.Rules) bool {
	switch k {
	case model.StepTimeout:
		return nowMs%r.TimeoutScanMs == 0
	case model.StepExpireTxnID:
		return nowMs%r.TxnIDScanMs == 0
	case model.StepExpireProducers:
		return nowMs%r.ProducerScanMs == 0
	default:
		return true // markers and completion come by themselves, at once
	}
}

// Take does one step.
func (m *Model) Take(s model.Step) (model.Appended, bool) { return m.broker.Take(s) }

// Steps lists the possible steps.
func (m *Model) Steps() []model.Step { return m.broker.Steps(nil) }

// ReloadCoordinator changes the transaction coordinator.
func (m *Model) ReloadCoordinator() { m.broker.ReloadCoordinator() }

// RestartLeader restarts the leader of one partition.
func (m *Model) RestartLeader(p trace.Partition) {
	m.broker.Partition(p).RestartLeader(m.broker.NowMs(), &m.rules)
}

// SetLeaderless takes a partition's leader away, or gives it back.
func (m *Model) SetLeaderless(p trace.Partition, isLeaderless bool) {
	m.broker.Partition(p).IsLeaderless = isLeaderless
}

// SetLagging holds the partition's high watermark where it is.
func (m *Model) SetLagging(p trace.Partition) { m.broker.Partition(p).IsLagging = true }

// ReplicateTo moves the high watermark of a lagging partition.
func (m *Model) ReplicateTo(p trace.Partition, offset int64) {
	m.broker.Partition(p).ReplicateTo(offset)
}
