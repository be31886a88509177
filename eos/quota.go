package eos

import "time"

// This file decides, as pure values, how much is fetched at once and how large a batch may be while quotas throttle the client.
//
// A broker counts the bytes in its window of some ten seconds, lets them pass, and makes the client wait until the mean is the quota:
// bytes ÷ quota − window. So smaller requests wait less at once, and get through as fast.

// quotaWindow is how long a broker remembers bytes (quota.window.num × quota.window.size.seconds).
const quotaWindow = 11 * time.Second

// fetchPace is how many bytes are fetched at once while fetches are throttled; 0: as many as the InputBuffer allows.
type fetchPace int64

const (
	wantedThrottle = time.Second // of a fetch
	leastPace      = 4 << 10     // the broker returns at least one batch
)

// slower returns the pace after a fetch of n bytes was throttled for d.
func (p fetchPace) slower(n int64, d time.Duration) fetchPace {
	if d <= wantedThrottle {
		return p
	}
	share := min(max(float64(wantedThrottle)/float64(d), 1.0/16), 1.0/2)
	return max(fetchPace(share*float64(n)), leastPace)
}

// faster returns the pace after no fetch was throttled for a while; most is how many bytes may be fetched at once without a pace.
func (p fetchPace) faster(most int64) fetchPace {
	if p += p / 4; int64(p) >= most {
		return 0
	}
	return p
}

// batchPace is how many records a batch may have, so that its transaction is not open for long while its produces are throttled; 0: as
// many as Config.MaxRecords.
type batchPace int

// paced is how a transaction went.
type paced struct {
	records  int           // of its batch
	produced time.Duration // how long it took to produce their outputs
	throttle time.Duration // how long the brokers make the client wait afterwards
	late     bool          // it was aborted because of its age
}

// next returns the pace after a transaction, which should not take longer than wanted. The pace gets slower at once, and faster step by
// step after batches of nearly the size that the pace allows.
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
