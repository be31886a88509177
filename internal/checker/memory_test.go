package checker_test

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eos-pipe/eos-pipe/internal/checker"
)

// A checker stays small: by provenance some bits a record, filtered ones too, and by ids well below 100 bytes. Not parallel,
// since it looks at the heap of the whole process.
func TestMemory(t *testing.T) {
	const records = 200_000
	perRecord := func(tell func(c *checker.Checker, i int64)) float64 {
		c := checker.New()
		before := heap()
		for i := range int64(records) {
			tell(c, i)
		}
		bytes := float64(heap()-before) / records
		require.True(t, c.Report().OK())
		return bytes
	}
	require.Less(t, perRecord(func(c *checker.Checker, i int64) {
		c.Input(orders0, i, 1)
		c.Output(partition("copies", 0), i, orders0, i, 0, 1)
	}), 0.5, "bytes a record by provenance")
	require.Less(t, perRecord(func(c *checker.Checker, i int64) {
		c.Input(orders0, i, 0)
	}), 0.5, "bytes a filtered record")
	require.Less(t, perRecord(func(c *checker.Checker, i int64) {
		id := "order-" + strconv.FormatInt(i, 10)
		c.InputID(id, orders0, i)
		c.OutputID(id, partition("copies", 0), i)
	}), 80.0, "bytes a record by id")
}

// heap returns the bytes in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
