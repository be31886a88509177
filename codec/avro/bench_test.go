package avro_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	library "github.com/twmb/avro"

	"github.com/eos-pipe/eos-pipe/codec/avro"
)

// What it costs to read a value whose writer had another schema: beside one of the same schema, and beside the library's resolution.
func BenchmarkDecode(b *testing.B) {
	const (
		own = `{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},{"name":"cents","type":"long"},{"name":"note","type":"string","default":"none"}]}`
		old = `{"type":"record","name":"Order","fields":[{"name":"cents","type":"int"},{"name":"old","type":"string"},{"name":"id","type":"string"}]}`
	)
	reg, _ := setup(b, own, old)
	c, err := avro.New[Order](reg, avro.Config{})
	require.NoError(b, err)
	same := []byte{0, 0, 0, 0, 1, 2, '1', 0x36, 0}
	other := []byte{0, 0, 0, 0, 2, 0x36, 4, 'x', 'y', 2, '1'}
	for name, data := range map[string][]byte{"same schema": same, "another schema": other} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := c.Decode(data)
				require.NoError(b, err)
			}
		})
	}
	b.Run("another schema, by the library", func(b *testing.B) {
		resolved, err := library.Resolve(library.MustParse(old), library.MustParse(own))
		require.NoError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			var v Order
			_, err := resolved.Decode(other[5:], &v)
			require.NoError(b, err)
		}
	})
}
