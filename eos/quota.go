package eos

import "time"

// This file decides, as pure values, how much is fetched at once and how large a batch may be while quotas throttle the client.
//
// A broker sees how many bytes went through in its window, some ten seconds, lets them pass, and has the client wait until the mean is what
// the quota says: bytes ÷ quota − window. So what is done in smaller pieces waits less at once, and gets through as fast.

// quotaWindow is what a broker remembers (quota.window.num × quota.window.size.seconds).
const quotaWindow = 11 * time.Second

// fetchPace is how many bytes are fetched at once while fetches are throttled; 0: as many as there is room for.
type fetchPace int64

const (
	wantedThrottle = time.Second // of a fetch
	leastPace      = 4 << 10     // the broker gives at least one batch
)

// slower is the pace after a fetch of so many bytes was throttled for d.
func (p fetchPace) slower(bytes int64, d time.Duration) fetchPace {
	if d <= wantedThrottle {
		return p
	}
	share := min(max(float64(wantedThrottle)/float64(d), 1.0/16), 1.0/2)
	return max(fetchPace(share*float64(bytes)), leastPace)
}

// faster is the pace after no fetch was throttled for a while, where most is what there is room for.
func (p fetchPace) faster(most int64) fetchPace {
	if p += p / 4; int64(p) >= most {
		return 0
	}
	return p
}

// batchPace is how many records a batch may have, so that its transaction is not open for long while what it produces is throttled; 0: as
// many as Config.MaxRecords says.
type batchPace int

// paced is how a transaction went.
type paced struct {
	records  int           // of its batch
	produced time.Duration // how long it took to produce what came of them
	throttle time.Duration // how long the brokers have the client wait afterwards
	late     bool          // it was aborted for its age
}

// next is the pace after a transaction, which should not take longer than wanted. It gets slower at once, and faster little by little, when a
// batch was as large as it might be.
func (p batchPace) next(t paced, wanted time.Duration, most int) batchPace {
	took := max(t.produced, t.throttle)
	if t.late {
		took = max(t.produced+t.throttle, 2*wanted)
	}
	switch {
	case t.records == 0 || p == 0 && took <= wanted:
		return p
	case took > wanted:
		share := max(float64(wanted)/float64(took), 1.0/16)
		return max(batchPace(share*float64(t.records)), 1)
	case took > wanted/2 || 4*t.records < 3*int(p):
		return p
	}
	if p += p/4 + 1; int(p) >= most {
		return 0
	}
	return p
}
