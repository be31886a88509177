package schedules

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/eos-pipe/eos-pipe/internal/wiretap"
	"github.com/eos-pipe/eos-pipe/offsets"
)

// Names in every schedule.
const (
	group  = "g"
	input  = "in"
	output = "out"
	dead   = "dead" // dead letters
)

// Result is what came of a schedule.
type Result struct {
	Seed     uint64         `json:"seed"`
	Focus    Focus          `json:"focus"`
	Findings []string       `json:"findings"` // what is wrong, a line each that begins with its class; none: all is well
	Fired    map[string]int `json:"fired"`    // faults that happened, by kind
	Members  int            `json:"members"`
	Joins    int            `json:"joins"`   // sessions that were opened after the first of each member
	Records  int            `json:"records"` // of the input, aborted ones aside
	Aborted  int            `json:"aborted"` // records of the input that no reader may see
	Commits  int            `json:"commits"` // transactions that a member was told are committed
	Failures int            `json:"failures"`
	Did      []string       `json:"did"`     // what sessions did while there were faults, in words
	Evicted  int            `json:"evicted"` // dead members that kfake did not give up by itself
	Virtual  time.Duration  `json:"virtual"`
	Real     time.Duration  `json:"real"`
}

// world is one schedule under way: a cluster, its input, and the members.
type world struct {
	plan    Plan
	log     func(format string, args ...any)
	network kfake.VirtualNetwork
	cluster *kfake.Cluster
	members []*member
	running context.Context // ends when the members are to stop
	stop    context.CancelFunc
	lives   sync.WaitGroup // sessions, those of the dead included
	script  sync.WaitGroup // faults under way

	mu       sync.Mutex
	result   Result
	healed   bool
	inputs   map[offsets.Partition][]record
	attempts []attempt
}

// record is one record of the input that a reader must see.
type record struct {
	offset int64
	expect int // outputs
}

// run plays a plan. It must be called in a synctest bubble, and leaves no goroutine behind.
func run(plan Plan, log func(format string, args ...any)) Result {
	w := &world{plan: plan, log: log, inputs: map[offsets.Partition][]record{}}
	w.result = Result{Seed: plan.Seed, Focus: plan.Focus, Members: plan.Members, Fired: map[string]int{}}
	w.running, w.stop = context.WithCancel(context.Background())
	began := time.Now()
	if err := w.play(); err != nil {
		w.finding("harness: %v", err)
	}
	w.result.Virtual = time.Since(began)
	w.shutDown()
	return w.result
}

// play is a schedule from its start to the verdict.
func (w *world) play() error {
	if err := w.startCluster(); err != nil {
		return err
	}
	feed, err := w.newFeed()
	if err != nil {
		return err
	}
	defer feed.close()
	if err := feed.chunk(); err != nil {
		return err
	}
	for i := range w.plan.Members {
		m := w.newMember(i)
		if w.plan.Unlisted {
			m.arm(kind{act: unlisted}, wiretap.Rule{API: kmsg.Fetch, Action: wiretap.UnlistAborted, Count: wiretap.Always})
		}
		w.members = append(w.members, m)
	}
	for _, e := range w.plan.Events {
		if e.Kind.act <= refusal && e.Skip == 0 && e.For%2 == 0 {
			e.At = 0 // so that requests of the start are hit too
		}
		w.script.Go(func() { w.strike(e) })
	}
	for i, m := range w.members {
		m.start(time.Duration(i) * w.plan.Window / 8)
	}
	for i := range w.plan.Chunks {
		w.pause(w.plan.Window / time.Duration(w.plan.Chunks))
		if err := feed.chunk(); err != nil {
			return fmt.Errorf("chunk %d: %w", i, err)
		}
	}
	w.script.Wait()
	w.heal()
	w.awaitEnd()
	w.awaitTwins()
	w.stop()
	w.awaitStop()
	w.pause(transactionTimeout + time.Second) // then no transaction of a dead member can be open
	return w.judge()
}

func (w *world) startCluster() (err error) {
	ports := []int{9092, 9093, 9094}[:w.plan.Brokers]
	opts := []kfake.Opt{
		kfake.Ports(ports...), kfake.ListenFn(w.network.Listen),
		kfake.SeedTopics(int32(w.plan.Inputs), input), kfake.SeedTopics(int32(w.plan.Outputs), output, dead),
		kfake.BrokerConfigs(map[string]string{
			"group.min.session.timeout.ms": "500", "group.initial.rebalance.delay.ms": "0",
			"group.consumer.session.timeout.ms": fmt.Sprint(sessionTimeout.Milliseconds()), "group.consumer.heartbeat.interval.ms": "1000",
		}),
	}
	if w.plan.Old {
		opts = append(opts, kfake.MaxVersions(kversion.V3_9_0()))
	}
	if w.cluster, err = kfake.NewCluster(opts...); err != nil {
		return err
	}
	w.cluster.ControlKey(kmsg.InitProducerID.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		w.judgeID(req.(*kmsg.InitProducerIDRequest))
		return nil, nil, false
	})
	return nil
}

// judgeID requires that every producer id is asked for under the id that its member was given: with another one it fences
// nobody, and the transaction of its predecessor stays open until it times out.
func (w *world) judgeID(req *kmsg.InitProducerIDRequest) {
	id := ""
	if req.TransactionalID != nil {
		id = *req.TransactionalID
	}
	known := id == "feed"
	for i := range w.plan.Members {
		known = known || id == fmt.Sprintf("m%d-0", i)
	}
	if !known {
		w.finding("identity: a producer id was asked for as %q, which nobody is called", id)
	}
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return w.network.DialContext(ctx, network, address)
}

// heal ends all faults, and brings a member back if none is left.
func (w *world) heal() {
	w.mu.Lock()
	w.healed = true
	w.mu.Unlock()
	alive := 0
	for _, m := range w.members {
		m.heal()
		alive += m.count()
	}
	w.log("healed; %d members run", alive)
	if alive == 0 {
		w.members[0].start(0)
	}
}

// awaitEnd waits until the group has committed the whole input.
func (w *world) awaitEnd() {
	for began := time.Now(); ; w.pause(200 * time.Millisecond) {
		behind := w.behind()
		if behind == "" {
			return
		}
		if time.Since(began) > evictAfter && w.result.Evicted == 0 {
			w.evict()
		}
		if time.Since(began) > bound {
			w.finding("too long: %v after the last fault the group has not committed %s; it is %s", bound, behind, w.groupState())
			return
		}
	}
}

// behind says which partitions of the input are not committed to their end, and how far they are.
func (w *world) behind() (text string) {
	info := w.cluster.GroupInfo(group)
	for _, p := range w.cluster.PartitionInfos(input) {
		at := int64(0)
		if info != nil {
			at = info.Commits[input][p.Partition].Offset
		}
		if at != p.HighWatermark {
			text += fmt.Sprintf(" %s-%d %d of %d", input, p.Partition, at, p.HighWatermark)
		}
	}
	return text
}

// evictAfter is when a dead member that is still in the group is taken out of it.
const evictAfter = 6 * sessionTimeout

// evict takes members out of the group of which no process is left, as an operator would; all of them, where the group still waits
// for members that have long joined, and where it is one of the consumer protocol. It works around kfake: a static member whose process died
// while it joined under a new member id may stay for ever, with its partitions, and one that joins anew while the others join may be waited for
// until it leaves. In the consumer protocol it keeps a static member for ever that has left for its successor, and forgets to assign what became
// free meanwhile.
func (w *world) evict() {
	info := w.cluster.GroupInfo(group)
	if info == nil {
		return
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.addresses()...), kgo.Dialer(w.dial))
	if err != nil {
		w.finding("harness: %v", err)
		return
	}
	defer cl.Close()
	if w.plan.Consumer {
		for _, m := range info.Members {
			req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			req.Group, req.MemberID, req.MemberEpoch = group, m.MemberID, -1
			w.evictBy(cl, req, 1)
		}
		return
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	for _, m := range w.members {
		if m.count() == 0 || info.State == "PreparingRebalance" {
			out := kmsg.NewLeaveGroupRequestMember()
			out.InstanceID = new(m.id + "-0")
			req.Members = append(req.Members, out)
		}
	}
	w.evictBy(cl, req, len(req.Members))
}

// evictBy sends a request that takes n members out of the group.
func (w *world) evictBy(cl *kgo.Client, req kmsg.Request, n int) {
	if w.result.Evicted += n; n == 0 {
		return
	}
	if _, err := cl.Request(context.Background(), req); err != nil {
		w.finding("harness: %v", err)
	}
}

// groupState tells how the group stands, for whoever has to find out why nothing moves.
func (w *world) groupState() string {
	info := w.cluster.GroupInfo(group)
	if info == nil {
		return "not there"
	}
	text := []string{info.State}
	for _, m := range info.Members {
		text = append(text, fmt.Sprintf("%s: %v", m.MemberID, m.Assignment[input]))
	}
	return strings.Join(text, ", ")
}

// awaitTwins waits until of two sessions with the same ids at most one is left: the other was fenced, and must know it.
func (w *world) awaitTwins() {
	for began := time.Now(); ; w.pause(200 * time.Millisecond) {
		var twins []string
		for _, m := range w.members {
			if m.count() > 1 {
				twins = append(twins, m.id)
			}
		}
		if len(twins) == 0 {
			return
		}
		if time.Since(began) > bound {
			w.finding("fence: two sessions go on with the same ids: %v", twins)
			return
		}
	}
}

// awaitStop waits until every session is closed.
func (w *world) awaitStop() {
	done := make(chan struct{})
	go func() { w.lives.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(bound):
		w.finding("too long: %v after it was to stop a session is not closed", bound)
		<-done
	}
}

// shutDown ends all that is left, so that the bubble ends.
func (w *world) shutDown() {
	w.stop()
	for _, m := range w.members {
		m.closeTaps()
	}
	w.lives.Wait()
	w.script.Wait()
	if w.cluster != nil {
		w.cluster.Close()
	}
	w.pause(time.Minute) // what a closed client still waits for ends by its own timeouts
}

// pause lets time pass.
func (w *world) pause(d time.Duration) { <-time.After(d) }

// fire counts a fault that has happened.
func (w *world) fire(k kind, n int) {
	if n == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.result.Fired[k.String()] += n
}

// finding notes something that is wrong. Its class stands before the first colon.
func (w *world) finding(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.result.Findings) < 20 {
		w.result.Findings = append(w.result.Findings, fmt.Sprintf(format, args...))
	}
}

func (w *world) isHealed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.healed
}

// expected returns the input, to be read by the verdict.
func (w *world) expected() map[offsets.Partition][]record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.inputs)
}
