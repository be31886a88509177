package script

import (
	"fmt"
	"maps"
	"strings"

	"github.com/eos-pipe/eos-pipe/trace"
)

// Runner runs the blocks of one script on one broker, and keeps the names it binds. It belongs to one goroutine.
type Runner struct {
	broker Broker
	topic  string
	groups map[trace.Partition]string // of __consumer_offsets → a group that the script has named
	ids    map[string]int64
	names  map[int64]string
	isOut  bool // the broker cannot provide what the script needs
}

// NewRunner returns a runner for a script whose partitions @0, @1 … are those of the topic, which is empty.
func NewRunner(b Broker, topic string) *Runner {
	return &Runner{broker: b, topic: topic, groups: map[trace.Partition]string{}, ids: map[string]int64{}, names: map[int64]string{}}
}

// Run runs a block: kind is "run", "needs" or "model". It returns one line for each line of input. It reports false if the
// block is not for this broker; then nothing was asked.
func (r *Runner) Run(kind, input string) (output string, ok bool, err error) {
	switch kind {
	case "needs":
		return "", true, r.need(strings.Fields(input))
	case "model":
		if _, isModel := r.broker.(Steps); !isModel {
			return "", false, nil
		}
	case "run":
	default:
		return "", false, fmt.Errorf("no block is called %q: use run, needs or model", kind)
	}
	if r.isOut {
		return "", false, nil
	}
	var out strings.Builder
	for line := range strings.Lines(input) {
		answer, err := r.runLine(strings.TrimSpace(line))
		if err != nil {
			return "", false, fmt.Errorf("%s: %w", strings.TrimSpace(line), err)
		}
		out.WriteString(answer)
		out.WriteByte('\n')
	}
	return out.String(), true, nil
}

func (r *Runner) need(needs []string) error {
	for _, need := range needs {
		ok, err := r.broker.Provide(need)
		if err != nil {
			return err
		}
		r.isOut = r.isOut || !ok
	}
	return nil
}

// runLine runs all the requests that a line stands for.
func (r *Runner) runLine(line string) (string, error) {
	requests, err := Expand(line)
	if err != nil {
		return "", err
	}
	answers := make([]string, len(requests))
	for i, request := range requests {
		w := &words{r: r, rest: strings.Fields(request)}
		verb := w.next("request")
		run, ok := requestKinds[verb]
		if !ok {
			return "", fmt.Errorf("no request is called %q", verb)
		}
		if answers[i], err = run(r, w); err != nil {
			return "", err
		}
	}
	return strings.Join(answers, " | "), nil
}

// requestKinds is filled in by the files of the requests. Each reads its words to the end before it asks the broker.
var requestKinds map[string]func(*Runner, *words) (string, error)

func init() {
	requestKinds = map[string]func(*Runner, *words) (string, error){
		"init": (*Runner).initProducerID, "raise": (*Runner).raise, "produce": (*Runner).produce, "end": (*Runner).end,
		"add-partitions": (*Runner).addPartitions, "add-offsets": (*Runner).addOffsets,
		"txn-offsets": (*Runner).txnOffsets, "commit-offsets": (*Runner).commitOffsets, "fetch-offsets": (*Runner).fetchOffsets,
		"write-markers": (*Runner).writeMarkers, "fetch": (*Runner).fetch, "list-offsets": (*Runner).listOffsets,
		"describe": (*Runner).describe, "producers": (*Runner).producers, "delete-records": (*Runner).deleteRecords,
		"group": (*Runner).group, "settle": (*Runner).settle, "wait": (*Runner).wait, "restart": (*Runner).restart,
	}
	maps.Copy(requestKinds, stepKinds)
}

// bind gives a name to a producer id that has none yet.
func (r *Runner) bind(name string, id int64) {
	if _, isNamed := r.names[id]; name != "" && !isNamed {
		r.ids[name], r.names[id] = id, name
	}
}

// nameID prints a producer id by its name. An id without a name is printed as "new" if a broker has chosen it, which a
// script should bind; ids that a script makes up are large.
func (r *Runner) nameID(id int64) string {
	if name, ok := r.names[id]; ok {
		return name
	}
	if id < 0 || id >= 1e9 {
		return fmt.Sprint(id)
	}
	return "new"
}

func (r *Runner) nameProducer(p trace.Producer) string {
	return fmt.Sprintf("%s/%d", r.nameID(p.ID), p.Epoch)
}

func (r *Runner) namePartition(p trace.Partition) string {
	if p.Topic == r.topic {
		return fmt.Sprintf("@%d", p.Number)
	}
	if group, ok := r.groups[p]; ok {
		return "offsets(" + group + ")"
	}
	return fmt.Sprintf("%s@%d", p.Topic, p.Number)
}

// noteGroup remembers the group that lends its name to a partition of __consumer_offsets.
func (r *Runner) noteGroup(group string) error {
	p, err := r.broker.OffsetsPartition(group)
	if _, isNamed := r.groups[p]; err == nil && !isNamed {
		r.groups[p] = group
	}
	return err
}

// nameTime prints a time as the difference to the script's start.
func (r *Runner) nameTime(ms int64) string { return fmt.Sprintf("%+d", ms-r.broker.StartMs()) }

// codeText prints a code; no reply at all is a closed connection.
func codeText(c trace.Code) string {
	if c == trace.NoReply {
		return "connection closed"
	}
	return c.String()
}
