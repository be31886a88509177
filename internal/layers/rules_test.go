package layers

// rule says what one package, without its tests, may import. A package without a rule is only held to what holds
// for all: nobody imports cmd or integration.
type rule struct {
	pkg      string // its folder in the module
	required bool   // the package must exist: a rule for a package that was renamed must not pass by silence

	// module lists the packages of this module that it may import; no others.
	module []string
	// isPure allows nothing else but the standard library, and of that nothing in impure.
	isPure bool
	// light asks that nothing in heavy is reached, however indirectly: it is linked into users' binaries.
	light bool
	// brings is what of heavy it is there for, and may reach all the same.
	brings []string
}

// rules is the direction of imports: cmd/eos-pipe → monitor → processor → eos → offsets, codec → processor, and internal/broker/model → trace. Add a package by a line.
var rules = []rule{
	{pkg: "offsets", required: true, isPure: true, light: true},
	{pkg: "internal/checker", required: true, isPure: true, light: true, module: []string{"offsets"}},
	{pkg: "internal/acl", required: true, isPure: true, light: true},
	{pkg: "internal/isolation", required: true, light: true},
	{pkg: "internal/cluster", required: true, light: true, module: []string{"internal/isolation", "offsets"}},
	{pkg: "internal/millis", required: true, light: true},
	{pkg: "internal/names", required: true, isPure: true, light: true},
	{pkg: "internal/warnings", required: true, light: true},
	{pkg: "eos", required: true, light: true, module: []string{"internal/cluster", "internal/millis", "internal/names", "internal/isolation", "internal/warnings", "offsets"}},
	{pkg: "trace", required: true, isPure: true, light: true},
	{pkg: "internal/broker/model", required: true, isPure: true, light: true, module: []string{"trace"}},
	{pkg: "internal/broker/script", required: true, isPure: true, module: []string{"internal/broker/model", "trace"}},
	{pkg: "internal/sim", required: true, isPure: true, light: true, module: []string{"internal/broker/model", "trace"}},
	{pkg: "validator", required: true, light: true, module: []string{"internal/broker/model", "internal/sim", "trace"}},
	{pkg: "eos/eostest", required: true, light: true, module: []string{"validator", "trace", "internal/broker/batches", "internal/broker/frames"}},
	{pkg: "internal/logtrace", required: true, module: []string{"eos", "internal/broker/batches", "internal/cluster", "trace", "validator"}},
	{pkg: "internal/broker/batches", required: true, light: true},
	{pkg: "internal/broker/frames", required: true, isPure: true, light: true},
	{pkg: "internal/broker/wire", required: true, module: []string{"internal/broker/model", "trace", "internal/broker/script"}},
	{pkg: "internal/broker/script/generate", required: true, module: []string{"internal/broker/model", "trace", "internal/broker/script"}},
	{
		pkg: "internal/schedules", required: true,
		module: []string{"eos", "processor", "offsets", "internal/checker", "internal/cluster", "internal/isolation", "internal/wiretap"},
	},
	{pkg: "processor", required: true, light: true, module: []string{"eos", "internal/cluster", "internal/millis", "internal/warnings", "offsets", "processor/internal/dry", "security"}},
	{pkg: "processor/internal/dry", required: true, light: true},
	{pkg: "codec/internal/memo", required: true, light: true},
	{pkg: "codec/registry", required: true, light: true, module: []string{"processor", "codec/internal/memo"}},
	{pkg: "codec/avro", required: true, light: true, module: []string{"processor", "codec/registry", "codec/internal/memo"}},
	{pkg: "codec/protobuf", required: true, light: true, module: []string{"processor", "codec/registry", "codec/internal/memo"}},
	{pkg: "codec/jsonschema", required: true, light: true, module: []string{"processor", "codec/registry", "codec/internal/memo"}},
	{pkg: "internal/replay", required: true, light: true, module: []string{"eos", "processor"}},
	{pkg: "internal/jq", required: true, module: []string{"internal/millis", "processor"}},
	{
		pkg: "internal/audit", required: true,
		module: []string{"eos", "internal/checker", "internal/cluster", "internal/isolation", "internal/jq", "internal/millis", "offsets", "processor"},
	},
	{pkg: "security", required: true, light: true, module: []string{"internal/warnings"}},
	{
		pkg: "integration/internal/bench", required: true,
		module: []string{"eos", "trace", "validator", "internal/broker/model", "internal/checker", "internal/isolation", "internal/kafkatest", "internal/logtest", "internal/wiretap", "offsets"},
	},
	{
		pkg: "integration/internal/proc", required: true,
		module: []string{"integration/internal/bench", "internal/broker/batches", "internal/checker", "internal/kafkatest", "internal/wiretap", "offsets", "processor"},
	},
	{
		pkg: "integration/internal/guard", required: true,
		module: []string{"eos", "integration/internal/bench", "integration/internal/proc", "internal/certtest", "internal/kafkatest", "security"},
	},
	{
		pkg: "monitor", required: true, light: true, module: []string{"processor", "eos", "internal/cluster", "internal/warnings", "offsets", "security"},
		brings: []string{"github.com/prometheus/client_golang", "github.com/twmb/franz-go/plugin", "go.opentelemetry.io"},
	},
}

// faced are packages that only the listed ones, and those below them, may import: everything else uses the face that they have.
var faced = map[string][]string{
	"internal/broker/model": {"integration", "internal/broker", "internal/sim", "validator"},
	"internal/sim":          {"validator"},
}

// leaves are the folders whose packages nobody imports; they may import everything.
var leaves = []string{"cmd", "integration", "bench"}

// impure are the packages (and those below them) that bring in a clock, chance, the outer world or concurrency.
var impure = []string{"math/rand", "net", "os", "sync", "time"}

// heavy are the modules (and packages below them) that must not reach a user's binary: containers, test helpers, what only the
// command line tool needs, and what only monitor brings in.
var heavy = []string{
	"github.com/itchyny/gojq",
	"github.com/spf13/cobra",
	"github.com/stretchr/testify",
	"github.com/testcontainers/testcontainers-go",
	"github.com/twmb/franz-go/pkg/kfake",
	"github.com/prometheus/client_golang",
	"github.com/twmb/franz-go/plugin",
	"go.opentelemetry.io",
}

// formats are the modules of single codecs: none reaches a binary that does not import that codec.
var formats = map[string][]string{
	"codec/avro":       {"github.com/twmb/avro"},
	"codec/protobuf":   {"google.golang.org/protobuf", "github.com/bufbuild/protocompile"},
	"codec/jsonschema": {"github.com/santhosh-tekuri/jsonschema/v6", "golang.org/x/text"},
}
