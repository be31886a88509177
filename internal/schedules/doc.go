// Package schedules runs whole schedules of faults against the real session and processor, with the real franz-go client, on the
// embedded broker kfake, in virtual time (testing/synctest): one seed is one schedule.
//
// A schedule has one to three members, an input that is fed while they work, and faults: lost requests and answers at every API,
// answers that come late, errors, connections that are cut, members that crash, leave, stop for long, or are started twice,
// leaders and coordinators that move. Then the faults end, and within a bound of virtual time every record of the input must be
// processed. The verdict is that of internal/checker over the output, and beside it: no transaction is open, the offsets stand
// at the input's end, what Commit said is true, and whoever was fenced has ended.
//
// Time stands still in a bubble while a goroutine waits for a mutex, so the client is built with franz-go's build tag synctests,
// whose mutexes are channels, and so is the only mutex of eos that is held over a request (see bubble). Therefore the tests
// build a binary of their own and run it. docs/schedules.md says how to use all this, and what it cannot show.
package schedules
