// log writes one line to the error log for every request: which contexts it runs in, and their configuration.
package main

import (
	"strings"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	configuration "plugins/configuration/go"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(id uint32) types.PluginContext { return &plugin{id: id} })
}

type plugin struct {
	types.DefaultPluginContext
	id   uint32
	conf string
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	conf, err := configuration.Text()
	if err != nil {
		proxywasm.LogErrorf("log: %v", err)
		return types.OnPluginStartStatusFailed
	}
	p.conf = strings.ToValidUTF8(string(conf), "\uFFFD")
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(id uint32) types.HttpContext {
	return &request{id: id, plugin: p}
}

type request struct {
	types.DefaultHttpContext
	id     uint32
	plugin *plugin
}

func (r *request) OnHttpRequestHeaders(int, bool) types.Action {
	proxywasm.LogWarnf("run plugin ctx %d with conf %s in http ctx %d", r.plugin.id, r.plugin.conf, r.id)
	return types.ActionContinue
}
