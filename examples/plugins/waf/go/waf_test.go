package main

import (
	"strings"
	"testing"

	coraza_types "github.com/corazawaf/coraza/v3/types"
)

// refusal is the rule that refuses a request for a path, 0 if none does.
func refusal(t *testing.T, configuration, path string) int {
	t.Helper()
	config, err := parseConfig([]byte(configuration))
	if err != nil {
		t.Fatal(err)
	}
	waf, err := newWAF(config)
	if err != nil {
		t.Fatal(err)
	}
	tx := waf.NewTransaction()
	defer tx.Close()
	tx.ProcessURI(path, "GET", "HTTP/1.1")
	tx.AddRequestHeader("host", "example.com")
	tx.ProcessRequestHeaders()
	interruption, err := tx.ProcessRequestBody()
	if err != nil {
		t.Fatal(err)
	}
	if interruption == nil {
		return 0
	}
	return interruption.RuleID
}

func TestTheCoreRuleSetIsTheDefault(t *testing.T) {
	for _, configuration := range []string{"", "{}"} {
		if rule := refusal(t, configuration, "/?file=../../../etc/passwd"); rule != 949110 {
			t.Errorf("%q: rule %d", configuration, rule)
		}
		if rule := refusal(t, configuration, "/?file=report.pdf"); rule != 0 {
			t.Errorf("%q: rule %d", configuration, rule)
		}
	}
}

func TestRulesOfTheConfiguration(t *testing.T) {
	configuration := `{"directives": ["SecRuleEngine On", "SecRule ARGS:a \"@streq b\" \"id:7,phase:2,deny\""]}`
	if rule := refusal(t, configuration, "/?a=b"); rule != 7 {
		t.Errorf("rule %d", rule)
	}
	if rule := refusal(t, configuration, "/?file=../../../etc/passwd"); rule != 0 {
		t.Errorf("rule %d", rule)
	}
}

func TestBadConfigurations(t *testing.T) {
	for configuration, want := range map[string]string{
		`{`:                                       "bad configuration: ",
		`{"directives": []}`:                      "bad configuration: missing field `directives`",
		`{"directives": ["SecNothing On"]}`:       "bad rules: ",
		`{"directives": ["Include @nobody"]}`:     "bad rules: ",
		`{"directives": ["Include /etc/passwd"]}`: "bad rules: ",
	} {
		config, err := parseConfig([]byte(configuration))
		if err == nil {
			_, err = newWAF(config)
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", configuration, err)
		}
	}
}

func TestBodiesAreInMemoryUpToTheirLimit(t *testing.T) {
	config, _ := parseConfig([]byte(`{"directives": [
		"SecRuleEngine On", "SecRequestBodyAccess On", "SecRequestBodyLimit 2000", "secRequestBodyInMemoryLimit 10"]}`))
	waf, err := newWAF(config)
	if err != nil {
		t.Fatal(err)
	}
	tx := waf.NewTransaction()
	defer tx.Close()
	tx.ProcessRequestHeaders()
	if _, written, err := tx.WriteRequestBody(make([]byte, 1000)); written != 1000 || err != nil {
		t.Errorf("%d, %v", written, err)
	}
	interruption, _, _ := tx.WriteRequestBody(make([]byte, 1001))
	if interruption == nil || interruption.Status != 413 {
		t.Errorf("%v", interruption)
	}
}

func TestAnAuditLineIsWithoutRulesThatDoNotLog(t *testing.T) {
	config, _ := parseConfig([]byte(`{"directives": ["SecRuleEngine On",
		"SecAction \"id:1,phase:1,pass,nolog\"",
		"SecAction \"id:2,phase:1,pass,log,msg:'two',severity:'CRITICAL'\""]}`))
	waf, err := newWAF(config)
	if err != nil {
		t.Fatal(err)
	}
	tx := waf.NewTransaction()
	defer tx.Close()
	tx.ProcessRequestHeaders()
	want := match{ID: 2, Severity: coraza_types.RuleSeverityCritical.String(), Message: "two"}
	if got := logged(tx.MatchedRules()); len(got) != 1 || got[0] != want {
		t.Errorf("%+v", got)
	}
}
