// greeter answers requests that have a header x-greet with its configuration, and lets the others pass.
package main

import (
	"errors"
	"unicode/utf8"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} })
}

// One for each place that the plugin is configured in.
type plugin struct {
	types.DefaultPluginContext
	greeting string
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	var err error
	if p.greeting, err = greeting(proxywasm.GetPluginConfiguration()); err != nil {
		proxywasm.LogErrorf("greeter: %v", err)
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext {
	return &request{greeting: p.greeting}
}

// What the configuration says. The host finds none if it is empty.
func greeting(configuration []byte, err error) (string, error) {
	switch {
	case errors.Is(err, types.ErrorStatusNotFound):
		return "", errors.New("no greeting is configured")
	case err != nil:
		return "", err
	case !utf8.Valid(configuration):
		return "", errors.New("the greeting is not UTF-8")
	}
	return string(configuration), nil
}

// One for each request.
type request struct {
	types.DefaultHttpContext
	greeting string
}

func (r *request) OnHttpRequestHeaders(int, bool) types.Action {
	if _, err := proxywasm.GetHttpRequestHeader("x-greet"); err != nil {
		return types.ActionContinue
	}
	proxywasm.LogInfof("greeting with %s", r.greeting)
	headers := [][2]string{{"content-type", "text/plain"}}
	if err := proxywasm.SendHttpResponse(200, headers, []byte(r.greeting+"\n"), -1); err != nil {
		proxywasm.LogErrorf("greeter: no answer was sent: %v", err)
		return types.ActionContinue
	}
	return types.ActionPause
}
