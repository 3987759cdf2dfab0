// fault-injection answers a share of the requests by itself, with the status and body of its configuration.
package main

import (
	"math/rand/v2"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	configuration "plugins/configuration/go"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{config: defaults()} })
}

type plugin struct {
	types.DefaultPluginContext
	config config
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	err := configuration.Read(&p.config)
	if err == nil {
		err = p.config.check()
	}
	if err != nil {
		proxywasm.LogErrorf("fault-injection: %v", err)
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext {
	return &request{config: &p.config}
}

type request struct {
	types.DefaultHttpContext
	config *config
}

func (r *request) OnHttpRequestHeaders(int, bool) types.Action {
	if rand.Int64N(100) >= r.config.Percentage {
		return types.ActionContinue
	}
	if err := proxywasm.SendHttpResponse(uint32(*r.config.HTTPStatus), nil, []byte(r.config.Body), -1); err != nil {
		proxywasm.LogErrorf("fault-injection: no answer was sent: %v", err)
		return types.ActionContinue
	}
	return types.ActionPause
}
