package ask

import "github.com/twmb/franz-go/pkg/kadm"

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
