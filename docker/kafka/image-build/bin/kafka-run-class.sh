#!/bin/bash
# kafka-run-class.sh CLASS [ARGUMENT...]: becomes a class of /opt/kafka/libs, with the options that Kafka's own script takes
# from the environment.
home=$(dirname "$(dirname "$(readlink -f "$0")")")
# One jar after the other, in a fixed order: a class-data archive serves only the class path that it was made with.
jars=$(printf '%s:' "$home"/libs/*.jar)
log=${KAFKA_LOG4J_OPTS:--Dlog4j2.configurationFile=/etc/kafka/docker/tools-log4j2.yaml}
# shellcheck disable=SC2086 # lists of options
exec java ${KAFKA_HEAP_OPTS:--Xmx256M} ${KAFKA_JVM_PERFORMANCE_OPTS-} ${KAFKA_GC_LOG_OPTS-} ${KAFKA_JMX_OPTS-} $log \
  -cp "${CLASSPATH:+$CLASSPATH:}${jars%:}" ${KAFKA_OPTS-} "$@"
