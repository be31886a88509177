package schedules

// How the tests speak with the worker: these environment variables, and lines on its output.
const (
	envFirst = "EOS_SCHEDULES_FIRST"
	envStep  = "EOS_SCHEDULES_STEP"
	envCount = "EOS_SCHEDULES_COUNT"
	envFocus = "EOS_SCHEDULES_FOCUS"
	envLog   = "EOS_SCHEDULES_LOG"

	beginLine  = "schedule begins: "
	resultLine = "schedule: "
)
