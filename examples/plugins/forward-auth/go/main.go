// forward-auth asks another service whether a request may pass.
package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	configuration "plugins/configuration/go"
)

const forbidden = 403

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
		proxywasm.LogErrorf("forward-auth: %v", err)
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
	service := r.config.service.authority
	if _, err := proxywasm.DispatchHttpCall(service, r.question(), nil, nil, uint32(r.config.Timeout), r.onAnswer); err != nil {
		proxywasm.LogErrorf("forward-auth: %s cannot be asked: %v", service, err)
		r.refuse(nil)
	}
	return types.ActionPause
}

// What the service is told of the request; values that it asked for and that are not there are left out.
func (r *request) question() fields {
	service := r.config.service
	question := fields{
		{":method", "GET"},
		{":scheme", service.scheme},
		{":authority", service.authority},
		{":path", service.path},
	}
	for _, told := range [][2]string{
		{"x-forwarded-proto", "scheme"},
		{"x-forwarded-method", "request_method"},
		{"x-forwarded-host", "host"},
		{"x-forwarded-uri", "request_uri"},
		{"x-forwarded-for", "remote_addr"},
	} {
		value, err := proxywasm.GetProperty([]string{told[1]})
		if err != nil {
			proxywasm.LogErrorf("forward-auth: %s is not known: %v", told[1], err)
		}
		question = append(question, [2]string{told[0], string(value)})
	}
	for _, name := range r.config.RequestHeaders {
		// What this plugin says of the request is not the client's to say.
		if _, known := question.first(name); known {
			continue
		}
		if value, err := proxywasm.GetHttpRequestHeader(name); err == nil {
			question = append(question, [2]string{name, value})
		}
	}
	return question
}

func (r *request) onAnswer(int, int, int) {
	headers, err := proxywasm.GetHttpCallResponseHeaders()
	answer := fields(headers)
	// A call that failed has no status.
	status, _ := answer.first(":status")
	if code, notANumber := strconv.Atoi(status); err != nil || notANumber != nil || code >= 300 {
		r.refuse(answer)
		return
	}
	for _, name := range r.config.UpstreamHeaders {
		if value, found := answer.first(name); found {
			check(proxywasm.ReplaceHttpRequestHeader(name, value))
		} else {
			check(proxywasm.RemoveHttpRequestHeader(name))
		}
	}
	check(proxywasm.ResumeHttpRequest())
}

func (r *request) refuse(answer fields) {
	var headers fields
	for _, name := range r.config.ClientHeaders {
		if value, found := answer.first(name); found {
			headers = append(headers, [2]string{name, value})
		}
	}
	check(proxywasm.SendHttpResponse(forbidden, headers, nil, -1))
}

// Fields of a header, as the SDK has them.
type fields [][2]string

func (f fields) first(name string) (string, bool) {
	i := slices.IndexFunc(f, func(field [2]string) bool { return strings.EqualFold(field[0], name) })
	if i < 0 {
		return "", false
	}
	return f[i][1], true
}

func check(err error) {
	if err != nil {
		proxywasm.LogErrorf("forward-auth: %v", err)
	}
}
