// go-headers marks requests and responses with its configuration, and denies those that ask for it, or
// panics for them.
//
// The same as rust-headers, through the Go SDK: a test of what standard Go's runtime and that SDK need of a host.
package main

import (
	"errors"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} })
}

type plugin struct {
	types.DefaultPluginContext
	conf string
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	conf, err := proxywasm.GetPluginConfiguration()
	if err != nil && !errors.Is(err, types.ErrorStatusNotFound) {
		proxywasm.LogErrorf("go-headers: no configuration: %v", err)
		return types.OnPluginStartStatusFailed
	}
	p.conf = string(conf)
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(id uint32) types.HttpContext {
	return &request{id: id, conf: p.conf}
}

type request struct {
	types.DefaultHttpContext
	id   uint32
	conf string
}

func (r *request) OnHttpRequestHeaders(int, bool) types.Action {
	if _, err := proxywasm.GetHttpRequestHeader("x-panic"); err == nil {
		panic("the request asked for it")
	}
	if _, err := proxywasm.GetHttpRequestHeader("x-go-deny"); err == nil {
		check(proxywasm.SendHttpResponse(403, nil, []byte("denied\n"), -1))
		return types.ActionPause
	}
	check(proxywasm.AddHttpRequestHeader("x-go-conf", r.conf))
	return types.ActionContinue
}

func (r *request) OnHttpResponseHeaders(int, bool) types.Action {
	check(proxywasm.AddHttpResponseHeader("x-go", r.conf))
	proxywasm.LogInfof("go ctx %d conf %s", r.id, r.conf)
	return types.ActionContinue
}

func check(err error) {
	if err != nil {
		proxywasm.LogErrorf("go-headers: %v", err)
	}
}
