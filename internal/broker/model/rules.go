package model

import "fmt"

// Release is a release of the broker, as far as its rules differ from the one before.
type Release int8

// The releases whose rules are known. What changed with each is in [Rules]' methods, in this file only.
const (
	Release35 Release = iota // 3.5: the last one that takes a transactional batch without asking the coordinator
	Release36                // KIP-890 part 1: partitions are verified with the coordinator
	Release38                // TRANSACTION_ABORTABLE (120) for clients that know it
	Release40                // KIP-890 part 2: implicit add, an epoch for each transaction; KIP-848 groups
	Release41                // TV2: an unknown producer starts at sequence 0
	Release42                // KIP-1228: markers carry the protocol, and TV2 markers a raised epoch
	Release43                // KIP-848 groups: an older member epoch is enough for partitions assigned before it
	Release44                // KIP-1319: commits of offsets in a transaction name topics by id, and have the errors of plain ones
)

// releases are all versions of Kafka whose rules are known, oldest first. One without changes has the rules of the version before.
var releases = []struct {
	major, minor int
	release      Release
}{
	{3, 5, Release35},
	{3, 6, Release36},
	{3, 7, Release36},
	{3, 8, Release38},
	{3, 9, Release38},
	{4, 0, Release40},
	{4, 1, Release41},
	{4, 2, Release42},
	{4, 3, Release43},
	{4, 4, Release44},
}

// ReleaseOf returns the release of a version of Kafka, such as 4.4 or 4.4.0. It reports false for a version whose rules are not known.
func ReleaseOf(version string) (Release, bool) {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return 0, false
	}
	for _, r := range releases {
		if r.major == major && r.minor == minor {
			return r.release, true
		}
	}
	return 0, false
}

// Versions returns the versions of Kafka whose rules are known, oldest first.
func Versions() []string {
	list := make([]string, len(releases))
	for i, r := range releases {
		list[i] = fmt.Sprintf("%d.%d", r.major, r.minor)
	}
	return list
}

// Rules says which broker is mirrored: its release, its settings, and for tests of tests the bugs planted in it.
// Change them before the broker is used, not while.
type Rules struct {
	Release            Release
	TransactionVersion int8 // finalized feature transaction.version: 0, 1 or 2

	VerifiesPartitions bool // transaction.partition.verification.enable
	TwoPhaseCommit     bool // transaction.two.phase.commit.enable
	UnstableAPIs       bool // unstable.api.versions.enable
	FencesAtOnce       bool // no broker: kfake aborts an open transaction before it answers InitProducerId

	MaxTxnTimeoutMs  int64 // transaction.max.timeout.ms
	TimeoutScanMs    int64 // transaction.abort.timed.out.transaction.cleanup.interval.ms
	TxnIDExpiryMs    int64 // transactional.id.expiration.ms
	TxnIDScanMs      int64 // transaction.remove.expired.transaction.cleanup.interval.ms
	ProducerExpiryMs int64 // producer.id.expiration.ms
	ProducerScanMs   int64 // producer.id.expiration.check.interval.ms
	MaxMetadataBytes int   // offset.metadata.max.bytes
	OffsetPartitions int32 // offsets.topic.num.partitions

	mergesAlike bool // brokers that a client can hardly tell apart have equal hashes: for a validator; see hash.go
	bugs        Bug
}

// DefaultRules are those of Kafka 4.4.0 as a new cluster has them.
func DefaultRules() Rules {
	return Rules{
		Release: Release44, TransactionVersion: 2, VerifiesPartitions: true,
		MaxTxnTimeoutMs: 900_000, TimeoutScanMs: 10_000,
		TxnIDExpiryMs: 604_800_000, TxnIDScanMs: 3_600_000,
		ProducerExpiryMs: 86_400_000, ProducerScanMs: 600_000,
		MaxMetadataBytes: 4096, OffsetPartitions: 50,
	}
}

// api names a request kind whose versions a release limits.
type api int8

const (
	apiProduce api = iota
	apiInitProducerID
	apiAddPartitions
	apiAddOffsets
	apiEndTxn
	apiTxnOffsetCommit
	apiWriteTxnMarkers
)

// offers reports whether the broker takes this version of a request. If not it closes the connection without an answer.
func (r *Rules) offers(a api, version int16) bool {
	lowest, highest := int16(0), int16(0)
	switch a {
	case apiProduce:
		lowest, highest = 3, r.byRelease(9, 9, 11, 12, 13, 13, 13, 13)
	case apiInitProducerID:
		highest = r.byRelease(4, 4, 5, 5, 5, 5, 5, 5)
		if r.UnstableAPIs && r.Release >= Release41 {
			highest = 6
		}
	case apiAddPartitions:
		highest = r.byRelease(3, 4, 5, 5, 5, 5, 5, 5)
	case apiAddOffsets:
		highest = r.byRelease(3, 3, 4, 4, 4, 4, 4, 4)
	case apiEndTxn:
		highest = r.byRelease(3, 3, 4, 5, 5, 5, 5, 5)
	case apiTxnOffsetCommit:
		highest = r.byRelease(3, 3, 4, 5, 5, 5, 5, 6)
	case apiWriteTxnMarkers:
		lowest, highest = r.byRelease(0, 0, 0, 1, 1, 1, 1, 1), r.byRelease(1, 1, 1, 1, 1, 2, 2, 2)
	}
	return lowest <= version && version <= highest
}

func (r *Rules) byRelease(v ...int16) int16 { return v[r.Release] }

// verifies reports whether a transactional batch of an old client is checked with the coordinator, and whether the log
// demands the guard that comes of it.
func (r *Rules) verifies() bool {
	return r.VerifiesPartitions && r.Release >= Release36 && !r.has(BugVerificationSkipped)
}

// startsAtZero reports whether an unknown producer of a TV2 transaction has to start at sequence 0.
func (r *Rules) startsAtZero() bool { return r.Release >= Release41 }

// raisesMarkerEpoch reports whether a marker of this protocol needs an epoch above the partition's.
func (r *Rules) raisesMarkerEpoch(protocol int8) bool { return r.Release >= Release42 && protocol >= 2 }

// remembersAssignment reports whether an older member epoch is allowed for partitions that were assigned at it.
func (r *Rules) remembersAssignment() bool { return r.Release >= Release43 }

// bumpsOnAbort reports whether an abort that the coordinator starts itself follows TV2.
func (r *Rules) bumpsOnAbort() bool { return r.TransactionVersion >= 2 && r.Release >= Release40 }

// window is how many batches of a producer a partition remembers (ProducerStateEntry.NUM_BATCHES_TO_RETAIN).
func (r *Rules) window() int {
	if r.has(BugWindowOfFour) {
		return remembered - 1
	}
	return remembered
}
