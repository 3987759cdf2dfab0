// waf refuses requests and responses that rules find an attack in. The rules are in the language of
// ModSecurity; Coraza evaluates them. The OWASP core rule set is part of the plugin.
package main

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/corazawaf/coraza/v3"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	configuration "plugins/configuration/go"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} })
}

// The rules without a configuration: the core rule set, which refuses.
var defaultDirectives = []string{
	"Include " + recommended,
	"Include @owasp_crs/*.conf",
}

type config struct {
	// Lines of rules and settings, in the order in which they count.
	Directives []string `json:"directives"`
}

type plugin struct {
	types.DefaultPluginContext
	waf coraza.WAF
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	config, err := readConfig()
	if err == nil {
		p.waf, err = newWAF(config)
	}
	if err != nil {
		proxywasm.LogErrorf("waf: %v", err)
		return types.OnPluginStartStatusFailed
	}
	// What parsing the rules left over would else count towards the next collection.
	runtime.GC()
	return types.OnPluginStartStatusOK
}

func readConfig() (config, error) {
	text, err := configuration.Text()
	if err != nil {
		return config{}, err
	}
	return parseConfig(text)
}

func parseConfig(text []byte) (config, error) {
	c := config{Directives: defaultDirectives}
	if len(text) == 0 {
		return c, nil
	}
	if err := configuration.Parse(text, &c); err != nil {
		return c, err
	}
	if len(c.Directives) == 0 {
		return c, configuration.Missing("directives")
	}
	return c, nil
}

func newWAF(c config) (coraza.WAF, error) {
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().
		WithRootFS(ruleFiles{}).
		WithDirectives(inMemory(strings.Join(c.Directives, "\n"))))
	if err != nil {
		return nil, fmt.Errorf("bad rules: %w", err)
	}
	return waf, nil
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext {
	return &transaction{waf: p.waf}
}
