// request-body logs a part of the request's body, if its configuration says so.
package main

import (
	"strings"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	configuration "plugins/configuration/go"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} })
}

// Which part of the body to log.
type config struct {
	ProcessReqBody bool   `json:"processReqBody"`
	Start          uint32 `json:"start"`
	// 0 for all that follows.
	Size uint32 `json:"size"`
}

type plugin struct {
	types.DefaultPluginContext
	config config
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	if err := configuration.Read(&p.config); err != nil {
		proxywasm.LogErrorf("request-body: %v", err)
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

// APISIX reads a body only for plugins that ask for it by this property.
func (r *request) OnHttpRequestHeaders(int, bool) types.Action {
	if r.config.ProcessReqBody {
		if err := proxywasm.SetProperty([]string{"wasm_process_req_body"}, []byte("true")); err != nil {
			proxywasm.LogErrorf("request-body: the body cannot be asked for: %v", err)
		}
	}
	return types.ActionContinue
}

func (r *request) OnHttpRequestBody(bodySize int, endOfStream bool) types.Action {
	if !r.config.ProcessReqBody {
		return types.ActionContinue
	}
	if !endOfStream {
		// The next call sees the whole.
		return types.ActionPause
	}
	start, size := int(r.config.Start), int(r.config.Size)
	if start >= bodySize {
		proxywasm.LogErrorf("failed to get body: it has %d bytes", bodySize)
		return types.ActionContinue
	}
	if size == 0 {
		size = bodySize - start
	}
	body, err := proxywasm.GetHttpRequestBody(start, size)
	if err != nil {
		proxywasm.LogErrorf("failed to get body: %v", err)
		return types.ActionContinue
	}
	proxywasm.LogWarnf("request get body: %s", strings.ToValidUTF8(string(body), "\uFFFD"))
	return types.ActionContinue
}
