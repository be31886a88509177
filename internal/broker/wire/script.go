package wire

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/eos-pipe/eos-pipe/internal/broker/script"
)

// Script is a file of blocks, each with the answers that Kafka gives.
type Script struct {
	Name  string // of the file, with its folder
	Lines []Line
}

// Line is one request with its answer. Lines that stand for several requests are cut into these.
type Line struct {
	Block string // run, needs or model
	Text  string
	Want  string // empty in a block of needs
}

// ReadScripts reads all files that match a pattern, in their order.
func ReadScripts(pattern string) ([]Script, error) {
	paths, err := filepath.Glob(pattern)
	if err == nil && len(paths) == 0 {
		err = errors.New("no such file")
	}
	var scripts []Script
	for _, path := range paths {
		content, failed := os.ReadFile(path)
		if failed != nil {
			return nil, failed
		}
		s, failed := parseScript(string(content))
		if failed != nil {
			return nil, fmt.Errorf("%s: %w", path, failed)
		}
		s.Name = filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)
		scripts = append(scripts, s)
	}
	if err != nil {
		return nil, fmt.Errorf("scripts %s: %w", pattern, err)
	}
	return scripts, nil
}

// parseScript reads what datadriven tests are written in, without what these scripts do not use: a line with the kind of block, lines of
// input, four dashes, lines of output, and an empty line. A line of comment begins with #.
func parseScript(content string) (Script, error) {
	var s Script
	for block := range strings.SplitSeq(content, "\n\n") {
		lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(block), "\n"), func(l string) bool { return strings.HasPrefix(l, "#") })
		if len(lines) == 0 || lines[0] == "" {
			continue
		}
		dashes := slices.Index(lines, "----")
		if dashes < 0 {
			return s, fmt.Errorf("the block that begins with %q has no ----", lines[0])
		}
		input, output := lines[1:dashes], lines[dashes+1:]
		if lines[0] == "needs" {
			output = make([]string, len(input))
		}
		if len(output) != len(input) {
			return s, fmt.Errorf("the block with %q has %d requests and %d answers", input[0], len(input), len(output))
		}
		for i, text := range input {
			requests, wants := []string{text}, strings.Split(output[i], " | ")
			if len(wants) > 1 {
				var err error
				if requests, err = script.Expand(text); err != nil {
					return s, err
				}
			}
			if len(requests) != len(wants) {
				return s, fmt.Errorf("%q stands for %d requests and has %d answers", text, len(requests), len(wants))
			}
			for n, want := range wants {
				s.Lines = append(s.Lines, Line{Block: lines[0], Text: requests[n], Want: want})
			}
		}
	}
	return s, nil
}

// Needs lists what the script needs.
func (s Script) Needs() []string {
	var needs []string
	for _, l := range s.Lines {
		if l.Block == "needs" {
			needs = append(needs, l.Text)
		}
	}
	return needs
}

// Raises lists the transactional ids of which the script asks for very many epochs.
func (s Script) Raises() []string {
	texts := make([]string, len(s.Lines))
	for i, l := range s.Lines {
		texts[i] = l.Text
	}
	return Raises(texts)
}

// Raises does the same for lines.
func Raises(lines []string) []string {
	var ids []string
	for _, l := range lines {
		if words := strings.Fields(l); len(words) > 2 && words[0] == "raise" {
			ids = append(ids, words[2])
		}
	}
	return ids
}

// Answer is what a broker said to a line.
type Answer struct {
	Line
	Got string
}

// LinesLeftOut are lines that were not asked, and why.
type LinesLeftOut struct {
	Count int
	Why   string
}

// Run asks the broker line by line. What it cannot be asked is left out: blocks for the model, all behind a need that it
// cannot provide, and all behind a line that it cannot run. Any other failure ends the script with an error.
func (s Script) Run(b script.Broker, topic string) (answers []Answer, out []LinesLeftOut, err error) {
	r := script.NewRunner(b, topic)
	why := ""
	leave := func(reason string) {
		if n := len(out); n > 0 && out[n-1].Why == reason {
			out[n-1].Count++
			return
		}
		out = append(out, LinesLeftOut{1, reason})
	}
	for _, l := range s.Lines {
		switch {
		case l.Block == "needs":
			ok, err := b.Provide(l.Text)
			if err != nil {
				return answers, out, err
			}
			if !ok && why == "" {
				why = "it needs " + l.Text
			}
		case why != "":
			leave(why)
		default:
			got, ok, err := r.Run(l.Block, l.Text)
			var cannot *LeftOut
			switch {
			case errors.As(err, &cannot):
				why = cannot.Why
				leave(why)
			case err != nil:
				return answers, out, fmt.Errorf("%s: %w", s.Name, err)
			case !ok:
				leave("for the model only")
			default:
				answers = append(answers, Answer{l, strings.TrimSuffix(got, "\n")})
			}
		}
	}
	return answers, out, nil
}
