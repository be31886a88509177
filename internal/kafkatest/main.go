package kafkatest

import (
	"fmt"
	"os"
	"testing"

	"github.com/testcontainers/testcontainers-go/log"
)

const leftOut = "integration: left out: the tests that need a real Kafka; run `make test`, which provides one"

// Main runs the tests of a package that need Kafka, and exits. Call it from TestMain:
//
//	func TestMain(m *testing.M) { kafkatest.Main(m) }
//
// When the environment names no Kafka, it runs none of them, says so in one line and exits with 0: so `go test ./...`
// passes on a machine that has only Go. When it names one, every test runs, and one that cannot have its cluster fails.
func Main(m *testing.M) {
	os.Exit(run(m)) //nolint:forbidigo // a TestMain ends the process, and this is one
}

func run(m *testing.M) int {
	kind := os.Getenv("EOS_TEST_KAFKA")
	if kind == "" && os.Getenv("EOS_TEST_BOOTSTRAP") == "" {
		sayLeftOut()
		return 0
	}
	if kind != "" && backends[kind] == nil {
		fmt.Fprintf(os.Stderr, "integration: EOS_TEST_KAFKA is %q; it is docker, native, or not set\n", kind)
		return 2
	}
	if err := prepareTestcontainers(); err != nil {
		fmt.Fprintf(os.Stderr, "integration: %v\n", err)
		return 2
	}
	shared.allowed = true
	endHanging()
	code := m.Run()
	if err := removeShared(); err != nil {
		fmt.Fprintf(os.Stderr, "integration: the shared Kafka cluster is not removed: %v\n", err)
		return max(code, 1)
	}
	return code
}

// prepareTestcontainers sets what testcontainers reads from the environment, unless the user did, and silences it: what
// it has to say comes back in errors.
func prepareTestcontainers() error {
	log.SetDefault(log.NewNoopLogger())
	for name, value := range map[string]string{
		// Its reaper is one more image to pull; docker/kafka/sweep does the reaper's work.
		"TESTCONTAINERS_RYUK_DISABLED": "true",
		// On a machine with a /.dockerenv it would look for published ports at the default gateway, not here.
		"TESTCONTAINERS_HOST_OVERRIDE": host,
	} {
		if _, set := os.LookupEnv(name); !set {
			if err := os.Setenv(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// sayLeftOut prints the one line. The go command shows nothing of what a passing package prints when it runs several, so
// the line goes to the go command's own stderr where that can be reached, once for all packages.
func sayLeftOut() {
	if !tellGoCommand(leftOut) {
		fmt.Fprintln(os.Stderr, leftOut)
	}
}
