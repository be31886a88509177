package audit

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/eos-pipe/eos-pipe/processor"
)

// FuzzOutput takes any headers of an output and of a dead letter, which any program may have written: the judge comes
// to an end, and each record beside the three that a pipe has made is a finding, or one that is not judged.
func FuzzOutput(f *testing.F) {
	for _, r := range []*kgo.Record{out(0, 1), dead(0, 1, 1), dead(0, 0, 1<<62), dead(0, 5, 9)} {
		var seed []byte
		for _, h := range r.Headers {
			seed = append(append(append(append(seed, h.Key...), '='), h.Value...), '\n')
		}
		f.Add(seed)
	}
	for _, text := range []string{
		"in-0@9223372036854775807 0/9223372036854775807", "in-0@1 1/2", "in-4294967296@0 0/1", "in-0@4 0/1",
	} {
		f.Add([]byte(processor.ProvenanceHeader + "=" + text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var headers []kgo.RecordHeader
		for line := range bytes.SplitSeq(text, []byte("\n")) {
			key, value, _ := bytes.Cut(line, []byte("="))
			headers = append(headers, kgo.RecordHeader{Key: string(key), Value: value})
		}
		for _, topic := range []string{"out", "dead"} {
			j := newTestJudge(Config{}, 3, 5)
			r := &kgo.Record{Topic: topic, Offset: 3, Headers: headers}
			text := judged(t, j, 3, out(0, 0), out(1, 1), out(2, 2), r)
			report := j.result().Report
			require.Equal(t, int64(3), report.In)
			if report.Out == 3 { // it is another pipe's dead letter, or came late
				require.True(t, report.OK(), text)
				continue
			}
			require.False(t, report.OK(), text)
			require.LessOrEqual(t, report.Out, int64(3+3+1), "no more than the input that was read, and one beyond it")
		}
	})
}
