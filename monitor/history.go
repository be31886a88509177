package monitor

import (
	"context"
	"time"
)

// The history behind the curves of the page: the last five minutes.
const (
	sampleInterval = 2 * time.Second
	samples        = 150
)

// Sample is what was done in one interval of the history.
type Sample struct {
	Time               time.Time `json:"time"`                    // its end
	TransactionsPerSec float64   `json:"transactions_per_second"` // committed
	AbortedPerSec      float64   `json:"aborted_per_second"`
	RecordsPerSec      float64   `json:"records_in_per_second"`
	FlushMillis        float64   `json:"flush_ms"` // mean of the transactions that ended in it; 0: none did
	EndMillis          float64   `json:"end_ms"`
	StableLag          int64     `json:"last_stable_offset_lag"` // at its end, summed over the partitions
	HighLag            int64     `json:"high_watermark_lag"`
}

// history keeps the newest samples, and where the counts stood at the last one.
type history struct {
	samples []Sample
	at      time.Time
	last    counts
}

// sample adds one to the history every now and then.
func (w *watcher) sample(ctx context.Context) {
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			w.m.mu.Lock()
			w.m.state.sample(now)
			w.m.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// sample adds what was done since the last one.
func (s *state) sample(now time.Time) {
	h, sum := &s.history, s.total()
	seconds := now.Sub(later(h.at, s.started)).Seconds()
	if seconds <= 0 {
		return
	}
	committed, aborted := sum.committed-h.last.committed, sum.allAborted()-h.last.allAborted()
	next := Sample{
		Time: now, TransactionsPerSec: float64(committed) / seconds, AbortedPerSec: float64(aborted) / seconds,
		RecordsPerSec: float64(sum.in-h.last.in) / seconds,
	}
	if ended := float64(committed + aborted); ended > 0 {
		next.FlushMillis = float64((sum.flush - h.last.flush).Milliseconds()) / ended
		next.EndMillis = float64((sum.end - h.last.end).Milliseconds()) / ended
	}
	for _, of := range s.owned() {
		next.StableLag += of.toStable()
		next.HighLag += of.toHigh()
	}
	h.at, h.last = now, sum
	h.samples = append(h.samples, next)
	if len(h.samples) > samples {
		h.samples = append(h.samples[:0:0], h.samples[len(h.samples)-samples:]...)
	}
}
