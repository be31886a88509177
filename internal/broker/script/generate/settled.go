package generate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
	"github.com/eos-pipe/eos-pipe/internal/broker/script"
	"github.com/eos-pipe/eos-pipe/trace"
)

// settled is the model of a broker whose coordinator writes the markers of an ending transaction before anybody can ask for
// anything. That is how a broker looks to someone who waits for the markers wherever they could be seen, and repeats what is
// answered with CONCURRENT_TRANSACTIONS because of them.
type settled struct {
	*script.Model
	last *trace.Producer // that of the newest answer to InitProducerID
}

// Topic is the name of the topic whose partitions histories write to, in the model.
const Topic = "topic"

// Partitions is how many it has.
const Partitions = 4

func newSettled(r model.Rules) settled {
	return settled{script.NewModel(r, Topic), new(trace.Producer)}
}

// EndTxn answers the request, and then writes the markers.
func (s settled) EndTxn(q model.EndTxnRequest) (model.EndTxnAnswer, error) {
	a, err := s.Model.EndTxn(q)
	s.Broker().Settle(q.TxnID)
	return a, err
}

// InitProducerID answers the request, and then writes the markers of the transaction that it may have aborted.
func (s settled) InitProducerID(q model.InitProducerIDRequest) (model.InitProducerIDAnswer, error) {
	a, err := s.Model.InitProducerID(q)
	if q.TxnID.Valid {
		s.Broker().Settle(q.TxnID.Value)
	}
	*s.last = a.Producer
	return a, err
}

// Expect returns what the model answers to the lines of a history.
func Expect(r model.Rules, lines []string) []string { return Ask(newSettled(r), Topic, lines) }

// Ask returns what a broker answers to the lines. Behind a line that cannot be asked, because an earlier one that gave it a name is
// missing, or because the broker fails, there are no more answers but the reason.
func Ask(b script.Broker, topic string, lines []string) []string {
	r := script.NewRunner(b, topic)
	answers := make([]string, 0, len(lines))
	for _, line := range lines {
		answer, _, err := r.Run("run", line)
		if err != nil {
			return append(answers, fmt.Sprintf("%s%v", failed, err))
		}
		answers = append(answers, strings.TrimSuffix(answer, "\n"))
	}
	return answers
}

const failed = "failed: "

// Diverge returns the number of the first line with different answers; -1 if there is none. A line that cannot be asked of either is no
// difference.
func Diverge(want, got []string) int {
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(want) || i >= len(got):
			return i
		case strings.HasPrefix(want[i], failed) && strings.HasPrefix(got[i], failed):
			return -1
		case want[i] != got[i]:
			return i
		}
	}
	return -1
}

// Shrink leaves lines out, half of them at once, then fewer, as long as what is left still diverges. In the end no single line can be
// left out, unless the tries are used up before.
func Shrink(lines []string, tries int, diverges func([]string) bool) []string {
	for size := max(len(lines)/2, 1); ; {
		before := len(lines)
		for from := 0; from+size <= len(lines) && tries > 0; tries-- {
			shorter := slices.Concat(lines[:from], lines[from+size:])
			if diverges(shorter) {
				lines = shorter
			} else {
				from += size
			}
		}
		switch {
		case size > 1:
			size /= 2
		case len(lines) == before || tries == 0:
			return lines
		}
	}
}
