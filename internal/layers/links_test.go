package layers

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every relative link of a page leads to a file or folder that exists, and to a heading that is there.
func TestLinks(t *testing.T) {
	t.Parallel()
	_, root := module(t)
	require.Empty(t, deadLinks(root, pages(t, root)))
}

// Every file and folder that docs/tour.md names in code marks exists, in the module or beside the one named before it.
func TestTourNamesFiles(t *testing.T) {
	t.Parallel()
	_, root := module(t)
	text, err := os.ReadFile(filepath.Join(root, "docs", "tour.md"))
	require.NoError(t, err)
	named := regexp.MustCompile("`([\\w./-]+\\.(?:go|txtar)|internal/\\w+)`").FindAllStringSubmatchIndex(string(text), -1)
	require.NotEmpty(t, named)
	folder := ""
	for _, at := range named {
		file := string(text[at[2]:at[3]])
		if strings.Contains(file, "/") {
			folder = filepath.Dir(file)
		} else {
			file = filepath.Join(folder, file)
		}
		_, err := os.Stat(filepath.Join(root, file))
		require.NoError(t, err, "docs/tour.md names it")
	}
}

// pages returns the text of the Markdown files of the module, by path in it.
func pages(t *testing.T, root string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "bin" || entry.Name() == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		texts[filepath.ToSlash(relative)] = string(text)
		return err
	})
	require.NoError(t, err)
	require.Contains(t, texts, "README.md")
	return texts
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// deadLinks returns the links that lead nowhere, a line each.
func deadLinks(root string, texts map[string]string) (dead []string) {
	for page, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			file, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(m[1], "://") {
				continue
			}
			target := page
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(page), file))
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil && texts[target] == "" {
				dead = append(dead, fmt.Sprintf("%s links to %s, which does not exist", page, m[1]))
			} else if anchor != "" && !anchors(texts[target])[anchor] {
				dead = append(dead, fmt.Sprintf("%s links to %s, which has no such heading", page, m[1]))
			}
		}
	}
	return dead
}

// anchors returns the names by which links reach the headings of a page.
func anchors(text string) map[string]bool {
	names := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		names[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return names
}

// Dead links are found: a file and a heading that do not exist.
func TestLinksFinds(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"docs/a.md": "# A page, and `code`\n[itself](#a-page-and-code) [b](../b.md#two) [web](https://a.b/c.md) [gone](c.md) [none](../b.md#three)",
		"b.md":      "## Two\n",
	}
	require.ElementsMatch(t, []string{
		"docs/a.md links to c.md, which does not exist",
		"docs/a.md links to ../b.md#three, which has no such heading",
	}, deadLinks(t.TempDir(), texts))
}
