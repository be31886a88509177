package eos

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// action is what a session does about an error. The table below is the only place that decides it.
type action int

const (
	// actAgain: it passes. The session asks again. A transaction that may have been ended for it is aborted, or its client is replaced;
	// the caller of actionFor decides which.
	actAgain action = iota
	// actReplay: abort, and continue with the same client; the records are polled again.
	actReplay
	// actReplace: the client's state cannot be trusted: discard it, fence with a new one, ask the broker.
	actReplace
	// actFenced: the broker's answer to a producer or member that no longer has its identity: because another instance has it
	// or, after a transaction that timed out, because no one has it. The session finds out which.
	actFenced
	// actRejected: this record will never be accepted.
	actRejected
	// actStop: it does not pass: an operator must look at permissions, settings, versions, a changed topic.
	actStop
)

// row is what a session does about an error of Kafka.
type row struct {
	action action
	// says completes the action: what it waits for (actAgain), what an operator must do before a restart helps (actStop), and
	// otherwise what the error means for the session.
	says string
}

// notAsked replaces the remedy for an error that Apache Kafka returns to no request of a session. The session stops nevertheless: it
// would otherwise ask forever.
const notAsked = "no request of a session is answered so by Apache Kafka: see what else answers at the bootstrap servers"

// rows has a row for every error that the client knows, in the order of their codes, which TestEveryErrorHasARow checks. docs/errors.md
// shows them.
var rows = map[*kerr.Error]row{
	kerr.UnknownServerError:                     {actReplace, "the broker failed for an unknown reason; the session asks the brokers what became of the transaction"},
	kerr.OffsetOutOfRange:                       {actStop, "records that the group has not processed are gone, or the log was truncated: set the group's offsets"},
	kerr.CorruptMessage:                         {actAgain, "an intact copy of the records"},
	kerr.UnknownTopicOrPartition:                {actStop, "create the topic, or grant the permission to describe it"},
	kerr.InvalidFetchSize:                       {actStop, notAsked},
	kerr.LeaderNotAvailable:                     {actAgain, "the election of a leader of the partition"},
	kerr.NotLeaderForPartition:                  {actAgain, "newer metadata, which name the partition's leader"},
	kerr.RequestTimedOut:                        {actAgain, "the replicas of the partition, or the broker that was asked, to answer in time"},
	kerr.BrokerNotAvailable:                     {actAgain, "the broker to return"},
	kerr.ReplicaNotAvailable:                    {actAgain, "the partition's replica to be ready on the broker"},
	kerr.MessageTooLarge:                        {actRejected, "the batch is larger than the topic's max.message.bytes"},
	kerr.StaleControllerEpoch:                   {actAgain, "the brokers to learn of the new controller"},
	kerr.OffsetMetadataTooLarge:                 {actStop, "the brokers' offset.metadata.max.bytes is too small for what a session commits with its offsets: raise it to 2048 or more (4096 is the default), or choose a shorter transactional id"},
	kerr.NetworkException:                       {actAgain, "a stable connection"},
	kerr.CoordinatorLoadInProgress:              {actAgain, "the coordinator to load its partition"},
	kerr.CoordinatorNotAvailable:                {actAgain, "a coordinator: its partition of __consumer_offsets or __transaction_state has no leader, or too few in-sync replicas"},
	kerr.NotCoordinator:                         {actAgain, "newer metadata, which name the coordinator"},
	kerr.InvalidTopicException:                  {actStop, "choose a topic whose name Kafka allows and which is not one of its own"},
	kerr.RecordListTooLarge:                     {actRejected, "the batch is larger than the topic's segment.bytes"},
	kerr.NotEnoughReplicas:                      {actAgain, "as many in-sync replicas as the topic's min.insync.replicas requires"},
	kerr.NotEnoughReplicasAfterAppend:           {actAgain, "as many in-sync replicas as the topic's min.insync.replicas requires"},
	kerr.InvalidRequiredAcks:                    {actStop, notAsked},
	kerr.IllegalGeneration:                      {actReplay, "the group has moved to another generation; in a transaction, up to TxnOffsetCommit v5, also: the member epoch is old, or the group is gone"},
	kerr.InconsistentGroupProtocol:              {actStop, "the group's members are of another kind, or share no assignor with this one: choose a group id that nothing else uses"},
	kerr.InvalidGroupID:                         {actStop, "choose another group id"},
	kerr.UnknownMemberID:                        {actReplay, "the group has removed this member, or has another one with its instance id; the member rejoins, and learns which"},
	kerr.InvalidSessionTimeout:                  {actStop, "choose a session timeout between the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms"},
	kerr.RebalanceInProgress:                    {actReplay, "the group rebalances"},
	kerr.InvalidCommitOffsetSize:                {actStop, "the offsets of one commit are larger than max.message.bytes of __consumer_offsets: raise it"},
	kerr.TopicAuthorizationFailed:               {actStop, "grant READ on the input topics, and WRITE on the output topics"},
	kerr.GroupAuthorizationFailed:               {actStop, "grant READ on the group"},
	kerr.ClusterAuthorizationFailed:             {actStop, "grant the refused operation on the cluster"},
	kerr.InvalidTimestamp:                       {actRejected, "the timestamp is further from the broker's clock than the topic's message.timestamp.before.max.ms and message.timestamp.after.max.ms allow"},
	kerr.UnsupportedSaslMechanism:               {actStop, "choose a SASL mechanism that the listener has (sasl.enabled.mechanisms)"},
	kerr.IllegalSaslState:                       {actStop, "make sure that the configured security protocol is that of the listener"},
	kerr.UnsupportedVersion:                     {actStop, "the brokers are too old for the request, or a feature of the cluster is not finalized: upgrade them"},
	kerr.TopicAlreadyExists:                     {actStop, notAsked},
	kerr.InvalidPartitions:                      {actStop, notAsked},
	kerr.InvalidReplicationFactor:               {actAgain, "as many brokers as Kafka's internal topics need replicas (offsets.topic.replication.factor, transaction.state.log.replication.factor)"},
	kerr.InvalidReplicaAssignment:               {actStop, notAsked},
	kerr.InvalidConfig:                          {actStop, notAsked},
	kerr.NotController:                          {actAgain, "newer metadata, which name the controller"},
	kerr.InvalidRequest:                         {actStop, "the broker does not understand a request: check its log, and what else answers at the bootstrap servers"},
	kerr.UnsupportedForMessageFormat:            {actStop, "the topic's message format is older than 0.11, and does not support transactions: raise the topic's message.format.version"},
	kerr.PolicyViolation:                        {actRejected, "a policy of the brokers refuses the record"},
	kerr.OutOfOrderSequenceNumber:               {actReplace, "the broker misses records of this producer, or has forgotten it"},
	kerr.DuplicateSequenceNumber:                {actReplace, "the broker already has the records, but at another offset than expected"},
	kerr.InvalidProducerEpoch:                   {actFenced, "a newer producer has the transactional id, or the broker has aborted the transaction at its timeout"},
	kerr.InvalidTxnState:                        {actReplace, "the transaction is not open any more: the broker has aborted it at its timeout, an operator has aborted it, or another instance has taken the transactional id"},
	kerr.InvalidProducerIDMapping:               {actReplace, "the coordinator has forgotten the transactional id (transactional.id.expiration.ms), or given it another producer id"},
	kerr.InvalidTransactionTimeout:              {actStop, "choose a transaction timeout that is not above the brokers' transaction.max.timeout.ms"},
	kerr.ConcurrentTransactions:                 {actReplay, "the coordinator is still ending the previous transaction"},
	kerr.TransactionCoordinatorFenced:           {actAgain, "the coordinator that has taken over to write the markers"},
	kerr.TransactionalIDAuthorizationFailed:     {actStop, "grant WRITE on the transactional id"},
	kerr.SecurityDisabled:                       {actStop, notAsked},
	kerr.OperationNotAttempted:                  {actAgain, "what the same answer says about the other partitions"},
	kerr.KafkaStorageError:                      {actAgain, "the broker's disk, or another leader of the partition"},
	kerr.LogDirNotFound:                         {actStop, notAsked},
	kerr.SaslAuthenticationFailed:               {actStop, "make sure that the credentials are right; a running session first retries them for two minutes"},
	kerr.UnknownProducerID:                      {actReplace, "the broker has forgotten the producer"},
	kerr.ReassignmentInProgress:                 {actAgain, "the partition's reassignment"},
	kerr.DelegationTokenAuthDisabled:            {actStop, "the brokers accept no delegation tokens: choose other credentials"},
	kerr.DelegationTokenNotFound:                {actStop, "get a new delegation token"},
	kerr.DelegationTokenOwnerMismatch:           {actStop, "get a delegation token for this user"},
	kerr.DelegationTokenRequestNotAllowed:       {actStop, notAsked},
	kerr.DelegationTokenAuthorizationFailed:     {actStop, "grant the refused operation on delegation tokens"},
	kerr.DelegationTokenExpired:                 {actStop, "get a new delegation token"},
	kerr.InvalidPrincipalType:                   {actStop, notAsked},
	kerr.NonEmptyGroup:                          {actStop, notAsked},
	kerr.GroupIDNotFound:                        {actReplay, "from TxnOffsetCommit v6: the group is gone; the session rejoins it. When it joins or sends a heartbeat, it may also mean that a group of another kind has the id: the session asks, and then stops (ErrOtherGroup)"},
	kerr.FetchSessionIDNotFound:                 {actAgain, "a new fetch session"},
	kerr.InvalidFetchSessionEpoch:               {actAgain, "a new fetch session"},
	kerr.ListenerNotFound:                       {actAgain, "a leader that has the listener in use"},
	kerr.TopicDeletionDisabled:                  {actStop, notAsked},
	kerr.FencedLeaderEpoch:                      {actAgain, "newer metadata, which name the partition's leader"},
	kerr.UnknownLeaderEpoch:                     {actAgain, "the broker to learn that it leads the partition"},
	kerr.UnsupportedCompressionType:             {actRejected, "the topic or the broker does not accept the batch's compression"},
	kerr.StaleBrokerEpoch:                       {actAgain, "the broker to be registered again"},
	kerr.OffsetNotAvailable:                     {actAgain, "the partition's new leader to know how far its replicas are"},
	kerr.MemberIDRequired:                       {actAgain, "the member to join with the id that the coordinator assigned"},
	kerr.PreferredLeaderNotAvailable:            {actAgain, "the preferred leader"},
	kerr.GroupMaxSizeReached:                    {actAgain, "a member to leave the group, or a larger group.max.size (classic) or group.consumer.max.size (consumer) of the brokers"},
	kerr.FencedInstanceID:                       {actFenced, "another member has the instance id"},
	kerr.EligibleLeadersNotAvailable:            {actAgain, "a replica that may lead the partition"},
	kerr.ElectionNotNeeded:                      {actStop, notAsked},
	kerr.NoReassignmentInProgress:               {actStop, notAsked},
	kerr.GroupSubscribedToTopic:                 {actStop, notAsked},
	kerr.InvalidRecord:                          {actRejected, "the broker refuses the record: no key in a compacted topic, a timestamp, or the broker's own validation"},
	kerr.UnstableOffsetCommit:                   {actReplay, "a transaction on the offsets is still open"},
	kerr.ThrottlingQuotaExceeded:                {actAgain, "the quota"},
	kerr.ProducerFenced:                         {actFenced, "a newer producer has the transactional id, or the broker has aborted the transaction at its timeout"},
	kerr.ResourceNotFound:                       {actStop, notAsked},
	kerr.DuplicateResource:                      {actStop, notAsked},
	kerr.UnacceptableCredential:                 {actStop, notAsked},
	kerr.InconsistentVoterSet:                   {actStop, notAsked},
	kerr.InvalidUpdateVersion:                   {actStop, notAsked},
	kerr.FeatureUpdateFailed:                    {actStop, notAsked},
	kerr.PrincipalDeserializationFailure:        {actStop, "the brokers cannot pass the user on to each other: check their principal.builder.class"},
	kerr.SnapshotNotFound:                       {actStop, notAsked},
	kerr.PositionOutOfRange:                     {actStop, notAsked},
	kerr.UnknownTopicID:                         {actStop, "the topic was deleted and recreated"},
	kerr.DuplicateBrokerRegistration:            {actStop, notAsked},
	kerr.BrokerIDNotRegistered:                  {actStop, notAsked},
	kerr.InconsistentTopicID:                    {actStop, "the topic was deleted and recreated"},
	kerr.InconsistentClusterID:                  {actStop, notAsked},
	kerr.TransactionalIDNotFound:                {actReplay, "the coordinator has forgotten the transactional id, so nothing of it is open"},
	kerr.FetchSessionTopicIDError:               {actAgain, "a new fetch session"},
	kerr.IneligibleReplica:                      {actStop, notAsked},
	kerr.NewLeaderElected:                       {actAgain, "newer metadata, which name the partition's leader"},
	kerr.OffsetMovedToTieredStorage:             {actStop, notAsked},
	kerr.FencedMemberEpoch:                      {actReplay, "the group has removed this member; it rejoins"},
	kerr.UnreleasedInstanceID:                   {actFenced, "another member has the instance id"},
	kerr.UnsupportedAssignor:                    {actStop, "choose an assignor that the brokers have (group.consumer.assignors)"},
	kerr.StaleMemberEpoch:                       {actReplay, "the member's epoch is not the group's: partitions have moved"},
	kerr.MismatchedEndpointType:                 {actStop, "the bootstrap servers are controllers: name brokers"},
	kerr.UnsupportedEndpointType:                {actStop, "the bootstrap servers are controllers: name brokers"},
	kerr.UnknownControllerID:                    {actStop, notAsked},
	kerr.UnknownSubscriptionID:                  {actAgain, "the next subscription of the client's metrics"},
	kerr.TelemetryTooLarge:                      {actAgain, "the next push of the client's metrics"},
	kerr.InvalidRegistration:                    {actStop, notAsked},
	kerr.TransactionAbortable:                   {actReplay, "the transaction must be aborted, and its producer continues"},
	kerr.InvalidRecordState:                     {actStop, notAsked},
	kerr.ShareSessionNotFound:                   {actStop, notAsked},
	kerr.InvalidShareSessionEpoch:               {actStop, notAsked},
	kerr.FencedStateEpoch:                       {actStop, notAsked},
	kerr.InvalidVoterKey:                        {actStop, notAsked},
	kerr.DuplicateVoter:                         {actStop, notAsked},
	kerr.VoterNotFound:                          {actStop, notAsked},
	kerr.InvalidRegularExpression:               {actStop, notAsked},
	kerr.RebootstrapRequired:                    {actAgain, "the bootstrap servers to list the brokers again"},
	kerr.StreamsInvalidTopology:                 {actStop, notAsked},
	kerr.StreamsInvalidTopologyEpoch:            {actStop, notAsked},
	kerr.StreamsTopologyFenced:                  {actStop, notAsked},
	kerr.ShareSessionLimitReached:               {actStop, notAsked},
	kerr.GroupDeletionFailed:                    {actStop, notAsked},
	kerr.StreamsTopologyDescriptionUpdateFailed: {actStop, notAsked},
	kerr.ControllerIDNotRegistered:              {actStop, notAsked},
}

// actionFor looks err up in the table; passing is the action for what passes, and for what is no error of Kafka.
func actionFor(err error, passing action) action {
	if isRejected(err) {
		return actRejected
	}
	if errors.Is(err, ErrTopicChanged) || errors.Is(err, ErrOtherGroup) {
		return actStop
	}
	if r, ok := rowOf(err); ok && r.action != actAgain {
		return r.action
	}
	return passing
}

// rowOf returns the row of the Kafka error that err wraps.
func rowOf(err error) (row, bool) {
	ke, ok := errors.AsType[*kerr.Error](err)
	if !ok {
		return row{}, false
	}
	r, ok := rows[ke]
	return r, ok
}

// waitsFor returns what has to happen before a request that failed with err can succeed; "" if that is not known.
func waitsFor(err error) string {
	if r, ok := rowOf(err); ok && r.action == actAgain {
		return r.says
	}
	return ""
}

// Remedy returns what to do about an error with which the brokers refuse a session's request for good: which setting to change, which
// permission to give. It is "" for errors that pass by themselves and for errors that are not the brokers'.
func Remedy(err error) string {
	if r, ok := rowOf(err); ok && r.action == actStop {
		return r.says
	}
	return ""
}
