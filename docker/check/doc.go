// Package check holds the tests of what docker/ offers for running eos-pipe: compose.yaml, the Kubernetes manifests, Prometheus' rules
// and Grafana's files. Each is read by the code of the tool that it is for, and then held to what docs/deploy.md promises of it. None
// needs a daemon, a cluster or Kafka.
//
// It is a module of its own: what these tools bring must not get into the go.mod of a program that imports eos-pipe.
package check
