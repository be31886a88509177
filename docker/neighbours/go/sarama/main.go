// Command sarama is IBM/sarama as a writer: ../../README.md says what goes in and out.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// line is a record, or the end of a transaction.
type line struct {
	End       string
	Partition int32
	Timestamp int64
	Key       *[]byte // nil: none
	Value     *[]byte
	Headers   [][2]*json.RawMessage
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 5 || os.Args[1] != "write" {
		log.Fatal("sarama write BROKERS TOPIC CODEC [TRANSACTIONAL-ID]")
	}
	id := ""
	if len(os.Args) > 5 {
		id = os.Args[5]
	}
	if err := write(strings.Split(os.Args[2], ","), os.Args[3], os.Args[4], id); err != nil {
		log.Fatal(err)
	}
}

// placed is sarama's default partitioner, but for records that name their partition.
type placed struct{ sarama.Partitioner }

func (p placed) Partition(m *sarama.ProducerMessage, n int32) (int32, error) {
	if at := m.Metadata.(int32); at >= 0 {
		return at, nil
	}
	return p.Partitioner.Partition(m, n)
}

func config(codec, id string) (*sarama.Config, error) {
	conf := sarama.NewConfig()
	if err := conf.Producer.Compression.UnmarshalText([]byte(codec)); err != nil {
		return nil, err
	}
	conf.Version = sarama.V2_8_0_0
	conf.Producer.Return.Successes = true
	conf.Producer.RequiredAcks = sarama.WaitForAll
	conf.Producer.Partitioner = func(topic string) sarama.Partitioner { return placed{sarama.NewHashPartitioner(topic)} }
	if id != "" {
		conf.Producer.Idempotent, conf.Producer.Transaction.ID, conf.Net.MaxOpenRequests = true, id, 1
	}
	return conf, nil
}

func write(brokers []string, topic, codec, id string) error {
	conf, err := config(codec, id)
	if err != nil {
		return err
	}
	producer, err := sarama.NewSyncProducer(brokers, conf)
	if err != nil {
		return err
	}
	defer producer.Close()
	var batch []*sarama.ProducerMessage
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	for in.More() {
		var l line
		if err := in.Decode(&l); err != nil {
			return err
		}
		if l.End == "" {
			m, err := message(topic, l)
			if err != nil {
				return err
			}
			batch = append(batch, m)
			continue
		}
		if err := send(producer, batch, id != "", l.End == "commit"); err != nil {
			return err
		}
		batch = nil
	}
	return nil
}

func send(producer sarama.SyncProducer, batch []*sarama.ProducerMessage, transactional, commit bool) error {
	end := func() error { return nil }
	if transactional {
		if err := producer.BeginTxn(); err != nil {
			return err
		}
		end = producer.AbortTxn
		if commit {
			end = producer.CommitTxn
		}
	}
	if err := producer.SendMessages(batch); err != nil {
		return err
	}
	for _, m := range batch {
		fmt.Printf("{\"partition\":%d,\"offset\":%d}\n", m.Partition, m.Offset) //nolint:forbidigo // the result
	}
	return end()
}

func message(topic string, l line) (*sarama.ProducerMessage, error) {
	m := &sarama.ProducerMessage{Topic: topic, Metadata: l.Partition, Timestamp: time.UnixMilli(l.Timestamp)}
	if l.Key != nil {
		m.Key = sarama.ByteEncoder(*l.Key)
	}
	if l.Value != nil {
		m.Value = sarama.ByteEncoder(*l.Value)
	}
	for _, h := range l.Headers {
		var name string
		if err := json.Unmarshal(*h[0], &name); err != nil {
			return nil, err
		}
		header := sarama.RecordHeader{Key: []byte(name)}
		if h[1] != nil {
			if err := json.Unmarshal(*h[1], &header.Value); err != nil {
				return nil, err
			}
		}
		m.Headers = append(m.Headers, header)
	}
	return m, nil
}
