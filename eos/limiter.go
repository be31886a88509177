package eos

import (
	"sync"
	"time"
)

// limiter lets something through at most once per interval. The zero value is ready; it may be used by many goroutines.
type limiter struct {
	mu   sync.Mutex
	last time.Time
}

func (l *limiter) allow(interval time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.last.IsZero() && time.Since(l.last) < interval {
		return false
	}
	l.last = time.Now()
	return true
}
