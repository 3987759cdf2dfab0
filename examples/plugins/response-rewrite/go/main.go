// response-rewrite sets fields of the response and replaces its body.
package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	configuration "plugins/configuration/go"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} })
}

type config struct {
	// Fields to set, each in place of all of its name.
	Headers []header `json:"headers"`
	// In place of the upstream's body.
	Body *string `json:"body"`
}

type header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type plugin struct {
	types.DefaultPluginContext
	config config
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	if err := configuration.Read(&p.config); err != nil {
		proxywasm.LogErrorf("response-rewrite: %v", err)
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext {
	return &response{config: &p.config}
}

type response struct {
	types.DefaultHttpContext
	config *config
}

func (r *response) OnHttpResponseHeaders(int, bool) types.Action {
	if r.config.Body != nil {
		// What told of the upstream's body; the length of ours is the host's to say.
		check(proxywasm.RemoveHttpResponseHeader("content-length"))
		check(proxywasm.RemoveHttpResponseHeader("content-encoding"))
		// APISIX passes a body only to plugins that ask for it by this property.
		check(proxywasm.SetProperty([]string{"wasm_process_resp_body"}, []byte("true")))
	}
	for _, header := range r.config.Headers {
		check(proxywasm.ReplaceHttpResponseHeader(header.Name, header.Value))
	}
	return types.ActionContinue
}

// Drops each piece as it comes, so that nothing is kept of what nobody gets, and sends ours at the end.
func (r *response) OnHttpResponseBody(_ int, endOfStream bool) types.Action {
	if r.config.Body == nil {
		return types.ActionContinue
	}
	var replacement []byte
	if endOfStream {
		replacement = []byte(*r.config.Body)
	}
	check(proxywasm.ReplaceHttpResponseBody(replacement))
	return types.ActionContinue
}

func check(err error) {
	if err != nil {
		proxywasm.LogErrorf("response-rewrite: %v", err)
	}
}
