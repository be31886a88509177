package cluster

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topics returns the topics that have these names, or all that the client may see; none that is internal to Kafka. The
// answer may come from the client's cache and be as old as its MetadataMinAge. A topic that does not exist has its error
// in the answer; a topic that the client may not describe makes the whole question fail.
func (c *Client) Topics(ctx context.Context, names ...string) (kadm.TopicDetails, error) {
	return c.adm.ListTopics(ctx, names...)
}

// TopicNow asks a broker, and never the client's cache, for a topic: its partitions, its id, and its error if it has one.
func (c *Client) TopicNow(ctx context.Context, name string) (topic kmsg.MetadataResponseTopic, err error) {
	one := kmsg.NewMetadataRequestTopic()
	one.Topic = &name
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = append(req.Topics, one)
	resp, err := req.RequestWith(ctx, c.cl)
	if err == nil && len(resp.Topics) != 1 {
		err = errors.New("the broker's answer is not about the topic that was asked for")
	}
	if err != nil {
		return topic, err
	}
	return resp.Topics[0], nil
}

// Configs returns the configuration of topics. It needs DESCRIBE_CONFIGS on each.
func (c *Client) Configs(ctx context.Context, topics ...string) (kadm.ResourceConfigs, error) {
	return c.adm.DescribeTopicConfigs(ctx, topics...)
}

// Versions returns which requests each broker knows, and the features of the cluster. A broker that could not be asked
// has its error in the answer.
func (c *Client) Versions(ctx context.Context) (kadm.BrokersApiVersions, error) {
	return c.adm.ApiVersions(ctx)
}

// ID returns the cluster's id.
func (c *Client) ID(ctx context.Context) (string, error) {
	m, err := c.adm.BrokerMetadata(ctx)
	return m.Cluster, err
}

// Readable returns the names of the topics that a pipe may read, in no order: those that the brokers listed without an error
// and that are not internal to Kafka.
func Readable(all kadm.TopicDetails) []string {
	names := make([]string, 0, len(all))
	for _, topic := range all {
		if topic.Err == nil && !topic.IsInternal {
			names = append(names, topic.Topic)
		}
	}
	return names
}
