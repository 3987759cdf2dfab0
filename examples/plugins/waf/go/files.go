package main

import (
	_ "embed"
	"io/fs"
	"regexp"
	"strings"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
)

// recommended is the name under which rules include recommended.conf.
const recommended = "@recommended.conf"

//go:embed recommended.conf
var recommendedConf []byte

// ruleFiles are the files that rules can include: those of the core rule set, and recommended.conf.
type ruleFiles struct{}

func (ruleFiles) Open(name string) (fs.File, error) { return coreruleset.FS.Open(name) }

func (ruleFiles) ReadFile(name string) ([]byte, error) {
	if strings.HasSuffix(name, recommended) {
		return recommendedConf, nil
	}
	text, err := fs.ReadFile(coreruleset.FS, name)
	return []byte(inMemory(string(text))), err
}

var inMemoryLimit = regexp.MustCompile(`(?im)^[ \t]*SecRequestBodyInMemoryLimit[ \t].*$`)

// inMemory removes the setting that says from which size on a body is kept in a file. A plugin has
// no files: bodies are in memory, up to SecRequestBodyLimit.
func inMemory(rules string) string { return inMemoryLimit.ReplaceAllString(rules, "") }
