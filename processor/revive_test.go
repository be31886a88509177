package processor_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
	"github.com/eos-pipe/eos-pipe/processor/processortest"
)

// readLetter reads a dead letter that another program has written, as testdata/letters/README.md describes.
func readLetter(t *testing.T, name string) *kgo.Record {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "letters", name+".txt"))
	require.NoError(t, err)
	defer f.Close()
	data := func(text string) []byte {
		if text == "null" {
			return nil
		}
		b, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
		require.NoError(t, err)
		return b
	}
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		require.NoError(t, err)
		return n
	}
	r := &kgo.Record{Topic: "dead"}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "partition":
			r.Partition = int32(number(rest))
		case "timestamp":
			r.Timestamp = time.UnixMilli(number(rest))
		case "key":
			r.Key = data(rest)
		case "value":
			r.Value = data(rest)
		case "header":
			key, value, _ := strings.Cut(rest, " ")
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: data(value)})
		}
	}
	require.NoError(t, lines.Err())
	return r
}

// putBack revives dead letters, and notes what is said of them.
func putBack(t *testing.T, letters ...*kgo.Record) (back []*kgo.Record, writer, missing string, err error) {
	t.Helper()
	replay := processor.Pipe[[]byte, []byte]{
		Source: processor.From(processor.Bytes(), "dead"),
		Handle: processor.Each(func(_ context.Context, in processor.Record[[]byte]) ([]processor.Record[[]byte], error) {
			writer, missing = processor.DeadLetterWriter(in)
			out, err := processor.Revive(in)
			return []processor.Record[[]byte]{out}, err
		}),
		Sink: processor.To(processor.Bytes(), "elsewhere"),
	}
	res, err := processortest.Run(t.Context(), processor.Config{}, replay, letters...)
	return res.Produced, writer, missing, err
}

// Dead letters as the real programs wrote them become the record again that they all had: key k1, value "not a number", two headers, of 1700000000000, in orders-1. What
// a program does not keep is said.
func TestLettersOfOtherPrograms(t *testing.T) {
	const at = 1_700_000_000_000
	for name, want := range map[string]struct {
		writer, missing string
		bare            bool
	}{
		"streams-deserialization": {writer: "Kafka Streams"},
		"streams-processing":      {writer: "Kafka Streams"},
		"connect":                 {writer: "Kafka Connect"},
		"spring":                  {writer: "Spring Kafka", missing: "had deserialized them"},
		"share-copied":            {writer: "a share group", missing: "own headers and its timestamp"},
		"share-bare":              {writer: "a share group", missing: "own headers and its timestamp", bare: true},
	} {
		t.Run(name, func(t *testing.T) {
			letter := readLetter(t, name)
			back, writer, missing, err := putBack(t, letter)
			require.Equal(t, want.writer, writer)
			require.Contains(t, missing, want.missing)
			require.Equal(t, want.missing == "", missing == "")
			if want.bare {
				require.ErrorIs(t, err, processor.ErrNotCopied)
				require.ErrorContains(t, err, "orders-1@1")
				return
			}
			require.NoError(t, err)
			r := back[0]
			require.Equal(t, []any{"orders", int32(1), "k1", "not a number"}, []any{r.Topic, r.Partition, string(r.Key), string(r.Value)})
			if strings.HasPrefix(name, "share") {
				require.Empty(t, r.Headers)
				require.NotEqualValues(t, at, r.Timestamp.UnixMilli())
				return
			}
			require.EqualValues(t, at, r.Timestamp.UnixMilli())
			require.Equal(t, []kgo.RecordHeader{{Key: "own", Value: []byte("of the record")}, {Key: "own"}}, r.Headers)
		})
	}
}

// Where a header of another program is not what it writes, the dead letter is not put back anywhere.
func TestLettersWithWrongHeaders(t *testing.T) {
	for name, header := range map[string]string{
		"streams-processing": "__streams.errors.partition", "connect": "__connect.errors.partition", "spring": "kafka_dlt-original-partition", "share-copied": "__dlq.errors.topic",
	} {
		for _, bad := range []string{"", "-1", "4294967297"} {
			letter := readLetter(t, name)
			for i, h := range letter.Headers {
				if h.Key == header {
					letter.Headers[i].Value = []byte(bad)
				}
			}
			_, _, _, err := putBack(t, letter)
			if header == "__dlq.errors.topic" && bad != "" {
				require.NoError(t, err)
				continue
			}
			require.ErrorContains(t, err, header, "%s %q", name, bad)
		}
	}
}

// Where it is asked for, a dead letter has the headers of Kafka's share groups or of Kafka Streams too, spelled and written as these do; and put back, the record has its
// own again and no others, though it had been a dead letter of that program before.
func TestLettersInTheirHeaders(t *testing.T) {
	for headers, name := range map[processor.DeadLetterHeaders]string{processor.ShareHeaders: "share-copied", processor.StreamsHeaders: "streams-processing"} {
		t.Run(headers.String(), func(t *testing.T) {
			source := readLetter(t, name) // it is an input now, at dead-1@7
			source.Partition, source.Offset = 1, 7
			own := append([]kgo.RecordHeader(nil), source.Headers...)
			pipe := double
			pipe.Handle = processor.Map(func(string) (string, error) { return "", errors.New("no") })
			res, err := processortest.Run(t.Context(), processor.Config{
				DeadLetterTopic: "dead2", DeadLetterHeaders: headers, Group: "g", Errors: processor.Errors{Policy: processor.DeadLetterOnError},
			}, pipe, source)
			require.NoError(t, err)
			letter := res.Produced[0]
			added := letter.Headers[len(own):]
			values := map[string]string{}
			for _, h := range added {
				values[h.Key] = string(h.Value)
			}
			for _, h := range own { // each header that the program writes is there
				if strings.HasPrefix(h.Key, "__") {
					require.Contains(t, values, h.Key)
				}
			}
			prefix := map[processor.DeadLetterHeaders]string{processor.ShareHeaders: "__dlq.errors.", processor.StreamsHeaders: "__streams.errors."}[headers]
			require.Equal(t, []string{"dead", "1", "7", "no"}, []string{values[prefix+"topic"], values[prefix+"partition"], values[prefix+"offset"], values[prefix+"message"]})
			info, ok := processor.DeadLetterOf(letter.Headers)
			require.True(t, ok)
			require.Equal(t, "dead-1", info.Partition.String())

			back, writer, _, err := putBack(t, letter)
			require.NoError(t, err)
			require.Equal(t, "eos-pipe", writer)
			require.Equal(t, "dead", back[0].Topic)
			require.Equal(t, own, back[0].Headers)
		})
	}
}
