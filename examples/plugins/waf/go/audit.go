package main

import (
	"encoding/json"
	"strings"

	coraza_types "github.com/corazawaf/coraza/v3/types"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
)

// nginx cuts a line of its error log at 2048 bytes. The line's end, with the last rules, is what is lost.
const longest = 256

// What a transaction leaves in the error log, if a rule that logs has matched: one line of JSON.
type entry struct {
	Action string  `json:"action"`
	Status int     `json:"status,omitempty"`
	Rule   int     `json:"rule,omitempty"`
	Client string  `json:"client"`
	Method string  `json:"method"`
	Host   string  `json:"host"`
	URI    string  `json:"uri"`
	ID     string  `json:"id"`
	Rules  []match `json:"rules"`
}

type match struct {
	ID       int    `json:"id"`
	Severity string `json:"severity,omitempty"`
	Message  string `json:"message,omitempty"`
	Data     string `json:"data,omitempty"`
}

func (t *transaction) audit() {
	matches := logged(t.tx.MatchedRules())
	if len(matches) == 0 {
		return
	}
	client, _ := address("source")
	e := entry{
		Action: "pass", Client: client, Method: t.method, Host: cut(t.host), URI: cut(t.uri), ID: t.tx.ID(), Rules: matches,
	}
	interruption := t.tx.Interruption()
	if interruption != nil {
		e.Action, e.Status, e.Rule = interruption.Action, interruption.Status, interruption.RuleID
	}
	var line strings.Builder
	encoder := json.NewEncoder(&line)
	// What clients sent is to be read and searched as it came.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		proxywasm.LogErrorf("waf: %v", err)
		return
	}
	proxywasm.LogWarnf("waf: %s", strings.TrimSuffix(line.String(), "\n"))
}

// logged is what rules without `nolog` found.
func logged(rules []coraza_types.MatchedRule) []match {
	var matches []match
	for _, rule := range rules {
		if logs, ok := rule.(interface{ Log() bool }); ok && !logs.Log() {
			continue
		}
		m := match{ID: rule.Rule().ID(), Message: cut(rule.Message()), Data: cut(rule.Data())}
		if severity := rule.Rule().Severity(); severity != coraza_types.RuleSeverityUnset {
			m.Severity = severity.String()
		}
		matches = append(matches, m)
	}
	return matches
}

func cut(text string) string {
	if len(text) <= longest {
		return text
	}
	return text[:longest] + "…"
}
