#!/bin/bash
# kafka-server-start.sh server.properties [--override NAME=VALUE]...: becomes a Kafka server.
here=$(dirname "$(readlink -f "$0")")
export KAFKA_HEAP_OPTS=${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G}
export KAFKA_LOG4J_OPTS=${KAFKA_LOG4J_OPTS:--Dlog4j2.configurationFile=/opt/kafka/config/log4j2.yaml}
exec "$here/kafka-run-class.sh" kafka.Kafka "$@"
