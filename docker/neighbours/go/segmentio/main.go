// Command segmentio is segmentio/kafka-go as a reader of committed records: ../../README.md says what comes out, which is without headers and
// committed offsets here.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

type shown struct {
	Partition int        `json:"partition"`
	Offset    int64      `json:"offset"`
	Timestamp int64      `json:"timestamp"`
	Key       []byte     `json:"key"`
	Value     []byte     `json:"value"`
	Headers   []struct{} `json:"headers"` // left out
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 5 || os.Args[1] != "read" {
		log.Fatal("segmentio read BROKERS TOPIC GROUP")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := read(ctx, strings.Split(os.Args[2], ",")[0], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func read(ctx context.Context, broker, topic string) error {
	conn, err := kafka.DialContext(ctx, "tcp", broker)
	if err != nil {
		return err
	}
	defer conn.Close()
	partitions, err := conn.ReadPartitions(topic)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		if err := readPartition(ctx, broker, topic, p.ID); err != nil {
			return err
		}
	}
	return nil
}

// readPartition prints all messages that the reader gives before the end of the log as it is now.
func readPartition(ctx context.Context, broker, topic string, partition int) error {
	leader, err := kafka.DialLeader(ctx, "tcp", broker, topic, partition)
	if err != nil {
		return err
	}
	end, err := leader.ReadLastOffset()
	_ = leader.Close() // it was only to ask
	if err != nil {
		return err
	}
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker}, Topic: topic, Partition: partition, IsolationLevel: kafka.ReadCommitted, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	for r.Offset() < end {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return err
		}
		text, err := json.Marshal(shown{Partition: m.Partition, Offset: m.Offset, Timestamp: m.Time.UnixMilli(), Key: m.Key, Value: m.Value})
		if err != nil {
			return err
		}
		fmt.Println(string(text)) //nolint:forbidigo // the result
	}
	return nil
}
