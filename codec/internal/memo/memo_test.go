package memo

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// A hundred goroutines that ask at once share one load; who asks later gets what it gave.
func TestMemoLoadsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memo[int, string]
		var loads atomic.Int32
		answer := make(chan struct{})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				v, err := m.Get(7, func() (string, error) { loads.Add(1); <-answer; return "seven", nil })
				require.NoError(t, err)
				require.Equal(t, "seven", v)
			})
		}
		synctest.Wait()
		v, err := m.Get(8, func() (string, error) { return "eight", nil })
		require.NoError(t, err, "another key does not wait")
		require.Equal(t, "eight", v)
		close(answer)
		wg.Wait()
		require.EqualValues(t, 1, loads.Load())
	})
}

// A failure reaches all who waited, and is forgotten: the next one loads again.
func TestMemoForgetsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memo[int, string]
		answer := make(chan struct{})
		var failed atomic.Int32
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := m.Get(7, func() (string, error) { <-answer; return "", errors.New("down") }); err != nil {
					failed.Add(1)
				}
			})
		}
		synctest.Wait()
		close(answer)
		wg.Wait()
		require.EqualValues(t, 10, failed.Load())
		v, err := m.Get(7, func() (string, error) { return "seven", nil })
		require.NoError(t, err)
		require.Equal(t, "seven", v)
	})
}

// A load that panics leaves nobody waiting, and nothing behind.
func TestMemoPanic(t *testing.T) {
	var m Memo[int, string]
	require.Panics(t, func() { m.Get(7, func() (string, error) { panic("bug") }) })
	v, err := m.Get(7, func() (string, error) { return "seven", nil })
	require.NoError(t, err)
	require.Equal(t, "seven", v)
}
