package logtrace

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// WriteFile writes a file under another name in its folder, and gives it its own name when all is in it. At an error, one of
// write or of the file, no file is left, and one that had that name before is as it was.
func WriteFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.part")
	if err != nil {
		return fmt.Errorf("cannot write the trace: %w", err)
	}
	err = write(f)
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("cannot write the trace: %w", closeErr)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
