package model

import "strings"

// Bug is one rule switched off, or several of them as a set: a planted bug, for tests that ask whether a test would
// notice. No broker has them.
type Bug uint64

// Each bug names the rule that it breaks.
const (
	BugWindowOfFour             Bug = 1 << iota // four batches are remembered instead of five
	BugNoDuplicateCheck                         // a repeated batch is taken for a new one and judged by its sequence
	BugDuplicateAppended                        // a repeated batch is written again
	BugDuplicateOffset                          // a duplicate is answered with the end of the log, not its old offset
	BugNoEpochCheck                             // a batch of a lower epoch is taken
	BugSequenceKeptAtEpoch                      // a new epoch may start at any sequence
	BugGapAccepted                              // a gap in the sequence is not seen
	BugNoWrap                                   // after 2^31-1 comes 2^31, which no batch can carry
	BugMixingAllowed                            // batches outside of a transaction are taken while one is open
	BugVerificationSkipped                      // transactional batches are taken without asking the coordinator
	BugImplicitAddForgotten                     // TV2: the coordinator does not note the partition, so no marker will come
	BugMarkerIgnored                            // a marker is written, but the transaction stays open
	BugMarkerKeepsEpoch                         // a marker does not raise the producer's epoch
	BugMarkerEpochUnchecked                     // a marker of an old epoch is taken
	BugMarkerCoordinatorIgnored                 // a marker of an old coordinator is taken
	BugStableOffsetAhead                        // the last stable offset does not stop at an open transaction
	BugStableBeforeReplicated                   // the last stable offset does not wait for the marker's replication
	BugAbortNotListed                           // an aborted transaction is missing from the list of aborted ones
	BugAbortListedAsCommit                      // commits are listed as aborted
	BugEndWithoutBump                           // TV2: the end of a transaction does not raise the epoch
	BugEndRetryFenced                           // TV2: the retry of an answered end is not recognised
	BugEndIgnoresState                          // an end is taken in any state
	BugInitWithoutBump                          // InitProducerId does not raise the epoch
	BugInitKeepsTransaction                     // InitProducerId leaves an open transaction open
	BugInitExpectedIgnored                      // InitProducerId does not compare the expected epoch
	BugPendingIgnored                           // requests are taken while a transaction is ending
	BugProducerIDUnchecked                      // the coordinator does not compare the producer id
	BugNoTimeout                                // transactions never time out
	BugEpochOverflow                            // an exhausted epoch is raised on, not exchanged with the producer id
	BugReloadForgets                            // a new coordinator does not write the markers of ending transactions
	BugOffsetsVisibleEarly                      // transactional offsets are visible before their commit
	BugUnstableIgnored                          // OffsetFetch does not hold back pending offsets
	BugAbortCommitsOffsets                      // an abort applies the pending offsets
	BugNewerOffsetOverwritten                   // a transaction's commit overwrites a newer plain commit
	BugGenerationUnchecked                      // group metadata of a transaction is not checked
	BugOpenProducerExpires                      // producers expire with an open transaction
	BugExpiryByBrokerTime                       // producers expire by the broker's time, not by that of their records
	bugEnd
)

// bugNames is in the order of the constants.
var bugNames = strings.Fields(`
	window-of-four no-duplicate-check duplicate-appended duplicate-offset no-epoch-check sequence-kept-at-epoch gap-accepted no-wrap
	mixing-allowed verification-skipped implicit-add-forgotten marker-ignored marker-keeps-epoch marker-epoch-unchecked
	marker-coordinator-ignored stable-offset-ahead stable-before-replicated abort-not-listed abort-listed-as-commit end-without-bump
	end-retry-fenced end-ignores-state init-without-bump init-keeps-transaction init-expected-ignored pending-ignored
	producer-id-unchecked no-timeout epoch-overflow reload-forgets offsets-visible-early unstable-ignored abort-commits-offsets
	newer-offset-overwritten generation-unchecked open-producer-expires expiry-by-broker-time`)

// Bugs returns every single bug, in the order of the constants.
func Bugs() []Bug {
	var all []Bug
	for b := Bug(1); b < bugEnd; b <<= 1 {
		all = append(all, b)
	}
	return all
}

// String gives the names of the bugs in the set, with commas between.
func (b Bug) String() string {
	var names []string
	for i, name := range bugNames {
		if b&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// ParseBug returns the bug of that name.
func ParseBug(name string) (Bug, bool) {
	for i, n := range bugNames {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// WithBug returns the rules with one more bug planted. It is for tests only.
func (r Rules) WithBug(b Bug) Rules {
	r.bugs |= b
	return r
}

func (r *Rules) has(b Bug) bool { return r.bugs&b != 0 }
