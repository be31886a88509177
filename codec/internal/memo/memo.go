// Package memo remembers what was loaded, and loads nothing twice at once.
package memo

import (
	"errors"
	"sync"
)

// Memo keeps the value of each key that was loaded. Failures are not kept. The zero Memo is empty and ready; it is safe
// for many goroutines at once.
type Memo[K comparable, V any] struct {
	mu      sync.RWMutex
	known   map[K]V
	loading map[K]*loading[V]
}

// loading is one load that others may wait for.
type loading[V any] struct {
	done  chan struct{} // closed when value and err are there
	value V
	err   error
}

// Get returns the value of key, by load where it is not known yet. Who asks for the same key meanwhile waits and gets the
// same value or error.
func (m *Memo[K, V]) Get(key K, load func() (V, error)) (V, error) {
	m.mu.RLock()
	v, ok := m.known[key]
	m.mu.RUnlock()
	if ok {
		return v, nil
	}
	m.mu.Lock()
	if v, ok := m.known[key]; ok { // loaded between the two locks
		m.mu.Unlock()
		return v, nil
	}
	if l, ok := m.loading[key]; ok {
		m.mu.Unlock()
		<-l.done
		return l.value, l.err
	}
	l := &loading[V]{done: make(chan struct{}), err: errPanicked}
	if m.loading == nil {
		m.known, m.loading = map[K]V{}, map[K]*loading[V]{}
	}
	m.loading[key] = l
	m.mu.Unlock()

	defer m.finish(key, l) // also when load panics: nobody may wait for ever
	l.value, l.err = load()
	return l.value, l.err
}

var errPanicked = errors.New("loading panicked in another goroutine")

func (m *Memo[K, V]) finish(key K, l *loading[V]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.loading, key)
	if l.err == nil {
		m.known[key] = l.value
	}
	close(l.done)
}
