// Package script is a small language of requests to a broker, one a line, and the one way to print what it answers.
// The same script judges the model of a broker (internal/broker/model), a fake broker, and real Kafka: whatever is a [Broker] can run it.
//
//	init v5 A bind=P
//	produce v12 A @0 P/0 T seq=0|1|1 n=2
//	end v5 A P/0 commit
//	settle A
//	----
//	NONE P/0
//	NONE 0 | OUT_OF_ORDER_SEQUENCE_NUMBER start=0 | OUT_OF_ORDER_SEQUENCE_NUMBER start=0
//	NONE P/1
//	CompleteCommit P/1
//
// What brokers choose differently each time has names in a script: bind=P names the producer id of an answer, and P/0 is that
// id with epoch 0; @0 to @9 are the partitions of a topic that is new for each script; a time is written as the difference
// to the script's start (+0); offsets(g) is the partition of __consumer_offsets that holds the group g. A transactional id "-"
// is null, and `""` is empty. Every request names its version (v12).
//
// Words with bars are several requests, one after the other: seq=0|1|1 above is three of them. If several words have bars, the
// first requests take the first alternatives, and so on.
//
// # Requests
//
//	init vN TXN [expect=P/e] [timeout=60000] [bind=P] [2pc] [keep]
//	produce vN TXN @p P/e [T] seq=N [n=1] [ts=+0] [digest=word] [flaw=name] [acks=-1] [+ @q P/e ...]
//	add-partitions vN TXN P/e @p... [verify]
//	add-offsets vN TXN P/e GROUP
//	txn-offsets vN TXN P/e GROUP @p=offset... [gen=-1] [member=M] [instance=I] [metadata=bytes]
//	commit-offsets GROUP @p=offset... [gen=-1] [member=M] [instance=I]
//	fetch-offsets GROUP @p [stable]
//	end vN TXN P/e commit|abort [bind=P]       (write "commit" or "abort"; a bar here means both in turn)
//	write-markers vN P/e commit|abort coord=N [tv2] @p...
//	fetch @p [from=0] [committed]
//	list-offsets @p [committed]
//	raise vN TXN P/e                           ask for the next epoch, from P/0 on, until it is e
//	describe TXN [bind=P]                      state, producer and partitions of a transactional id
//	producers @p                               what the partition knows of producers
//	delete-records @p OFFSET
//	group GROUP classic gen=N M[:instance]...
//	group GROUP consumer M epoch=N @p:epoch...
//	settle TXN [bind=P]                        wait until the coordinator has done what it can for the id, then describe
//	wait MS                                    let time pass
//	restart                                    a clean restart of the only broker
//
// # Steps that only the model can take
//
//	marker TXN @p    complete TXN    timeout TXN    expire TXN    expire-producers @p    steps
//	reload    restart-leader @p    lose-leader @p    find-leader @p    lag @p    replicate @p OFFSET
//
// # Blocks
//
// A script is cut into blocks by whoever reads the file (a datadriven test). A block "run" is for every broker. A block "needs"
// lists what the rest of the script needs, one a line: a setting such as transaction.version=1, "restart", or "steps" for the
// steps above; a broker that cannot provide it leaves the rest of the script out. A block "model" is one whose lines change
// nothing for the blocks after it, and which only the model can run.
package script
