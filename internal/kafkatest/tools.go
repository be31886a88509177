package kafkatest

import (
	"context"
	"crypto/rand"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var illegal = regexp.MustCompile(`[^a-zA-Z0-9._-]+`)

// Name returns a name for a topic, group or transactional id that nobody else uses, not even another run on the same
// cluster. It begins with base and shows the test, so that a broker's log can be read.
func Name(t testing.TB, base string) string {
	name := illegal.ReplaceAllString(base+"-"+t.Name(), "-")
	return name[:min(len(name), 200)] + "-" + strings.ToLower(rand.Text()[:8]) // a topic's name may have 249 characters
}

// Options returns what a client of the cluster needs, with more options behind it. A connection that is taken and closed
// at once is retried: docker's proxy does so for a broker that is not there, where a native broker's port refuses. Metadata is
// asked for anew after a tenth of a second: an admin client answers from what it has, by default for five seconds.
func (c *Cluster) Options(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{kgo.SeedBrokers(c.bootstrap...), kgo.AlwaysRetryEOF(), kgo.MetadataMinAge(100 * time.Millisecond)}, more...)
}

// Client returns a client of the cluster with the given options, closed when the test ends.
func (c *Cluster) Client(t testing.TB, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	note(t)
	cl, err := kgo.NewClient(c.Options(options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// Admin returns an admin client of the cluster, closed when the test ends.
func (c *Cluster) Admin(t testing.TB) *kadm.Client {
	t.Helper()
	return kadm.NewClient(c.Client(t))
}

// CreateTopic creates a topic with the cluster's default number of replicas and the given configs, each "name=value".
// It returns when every living broker knows the topic with a leader for each partition and all replicas in sync.
func (c *Cluster) CreateTopic(t testing.TB, name string, partitions int32, configs ...string) {
	t.Helper()
	c.CreateReplicated(t, name, partitions, -1, configs...)
}

// CreateReplicated is CreateTopic with that many replicas.
func (c *Cluster) CreateReplicated(t testing.TB, name string, partitions int32, replicas int16, configs ...string) {
	t.Helper()
	values := map[string]*string{}
	for _, config := range configs {
		key, value, ok := strings.Cut(config, "=")
		if !ok {
			t.Fatalf("create topic %s: the config %q is not name=value", name, config)
		}
		values[key] = &value
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(c.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, partitions, replicas, values, name); err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
	if err := c.waitReady(ctx, name); err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
}

// SetSession sets when a group of the consumer protocol gives up a member that it does not hear from (consumer.session.timeout.ms), which is
// the brokers' to say there.
func (c *Cluster) SetSession(t testing.TB, group string, timeout time.Duration) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = "consumer.session.timeout.ms", new(strconv.FormatInt(timeout.Milliseconds(), 10))
	resource.Configs = append(resource.Configs, config)
	req.Resources = append(req.Resources, resource)
	resp, err := req.RequestWith(t.Context(), c.Client(t))
	if err == nil {
		err = kerr.ErrorForCode(resp.Resources[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("set the session timeout of group %s: %v", group, err)
	}
}
