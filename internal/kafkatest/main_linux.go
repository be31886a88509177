package kafkatest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tellGoCommand writes the line to the stderr of the go command that runs this test binary, unless another test binary
// of the same command has. It reports whether the line was written; that it cannot be is no failure.
func tellGoCommand(line string) bool {
	parent := os.Getppid()
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent))
	if err != nil || strings.TrimSpace(string(name)) != "go" {
		return false
	}
	// The binary lies in $WORK/bNNN/, and $WORK is removed when the go command ends: a mark there lasts as long.
	binary, err := os.Executable()
	work := filepath.Dir(filepath.Dir(binary))
	if err != nil || !strings.HasPrefix(filepath.Base(work), "go-build") {
		return false
	}
	mark, err := os.OpenFile(filepath.Join(work, "kafkatest-left-out"), os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return true
	}
	if err != nil || mark.Close() != nil {
		return false
	}
	stderr, err := stderrOf(parent)
	if err != nil {
		return false
	}
	defer stderr.Close()
	_, err = fmt.Fprintln(stderr, line)
	return err == nil
}

// stderrOf opens the stderr of another process. A duplicate of its descriptor is best: if it is a file, it shares the
// position in it. Opening the file again would not, and the two would overwrite each other; that is done only for
// terminals and pipes, where the kernel forbids the duplicate.
func stderrOf(process int) (*os.File, error) {
	if pidfd, err := unix.PidfdOpen(process, 0); err == nil {
		defer os.NewFile(uintptr(pidfd), "the go command").Close()
		if fd, err := unix.PidfdGetfd(pidfd, 2, 0); err == nil {
			return os.NewFile(uintptr(fd), "stderr of the go command"), nil
		}
	}
	path := fmt.Sprintf("/proc/%d/fd/2", process)
	if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() {
		return nil, errors.New("stderr is a file")
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
}
