// go-streams is a part of the hostcalls guest's script, through the Go SDK: what a plugin author would write. rust-streams is the
// same in Rust.
//
// Logs every callback with its arguments, `on_request_body ID 5 true`, then runs the steps that the configuration has for it.
package main

import (
	"encoding/json"
	"fmt"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} })
}

// The steps of each callback.
type script map[string][]any

type plugin struct {
	types.DefaultPluginContext
	script script
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	configuration, _ := proxywasm.GetPluginConfiguration()
	if err := json.Unmarshal(configuration, &p.script); err != nil {
		proxywasm.LogErrorf("go-streams: %v", err)
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(id uint32) types.HttpContext {
	return &request{id: id, script: p.script}
}

type request struct {
	types.DefaultHttpContext
	id     uint32
	script script
}

func (r *request) OnHttpRequestHeaders(count int, end bool) types.Action {
	return r.run("on_request_headers", count, fmt.Sprint(end))
}

func (r *request) OnHttpRequestBody(size int, end bool) types.Action {
	return r.run("on_request_body", size, fmt.Sprint(end))
}

func (r *request) OnHttpResponseHeaders(count int, end bool) types.Action {
	return r.run("on_response_headers", count, fmt.Sprint(end))
}

func (r *request) OnHttpResponseBody(size int, end bool) types.Action {
	return r.run("on_response_body", size, fmt.Sprint(end))
}

func (r *request) OnHttpResponseTrailers(count int) types.Action {
	return r.run("on_response_trailers", count, "")
}

func (r *request) OnHttpStreamDone() {
	r.run("on_log", 0, "")
}

// run logs the callback, runs its steps and answers what they return.
func (r *request) run(callback string, size int, end string) types.Action {
	proxywasm.LogInfof("%s %d %d %s", callback, r.id, size, end)
	return r.steps(r.script[callback], end)
}

func (r *request) steps(steps []any, end string) types.Action {
	for _, step := range steps {
		if object, ok := step.(map[string]any); ok {
			if end != "true" {
				return types.ActionPause
			}
			return r.steps(object["until_end"].([]any), end)
		}
		if step := step.([]any); step[0] == "return" {
			return types.ActionPause
		} else if err := r.step(step); err != nil {
			proxywasm.LogErrorf("go-streams: %v: %v", step, err)
		}
	}
	return types.ActionContinue
}

func (r *request) step(step []any) error {
	text := func(i int) string {
		if i < len(step) {
			if text, ok := step[i].(string); ok {
				return text
			}
		}
		return ""
	}
	switch text(0) + " " + text(1) {
	case "get_buffer_bytes request_body":
		return logValue(step, proxywasm.GetHttpRequestBody)
	case "get_buffer_bytes response_body":
		return logValue(step, proxywasm.GetHttpResponseBody)
	case "get_buffer_bytes call_response_body":
		return logValue(step, proxywasm.GetHttpCallResponseBody)
	case "set_buffer_bytes request_body":
		return setBuffer(step, proxywasm.PrependHttpRequestBody, proxywasm.ReplaceHttpRequestBody, proxywasm.AppendHttpRequestBody)
	case "set_buffer_bytes response_body":
		return setBuffer(step, proxywasm.PrependHttpResponseBody, proxywasm.ReplaceHttpResponseBody, proxywasm.AppendHttpResponseBody)
	case "get_header_map_value request":
		return logField(text(2), proxywasm.GetHttpRequestHeader)
	case "get_header_map_value response":
		return logField(text(2), proxywasm.GetHttpResponseHeader)
	case "get_header_map_value response_trailers":
		return logField(text(2), proxywasm.GetHttpResponseTrailer)
	case "replace_header_map_value request":
		return proxywasm.ReplaceHttpRequestHeader(text(2), text(3))
	case "replace_header_map_value response":
		return proxywasm.ReplaceHttpResponseHeader(text(2), text(3))
	case "replace_header_map_value response_trailers":
		return proxywasm.ReplaceHttpResponseTrailer(text(2), text(3))
	case "remove_header_map_value response":
		return proxywasm.RemoveHttpResponseHeader(text(2))
	case "remove_header_map_value response_trailers":
		return proxywasm.RemoveHttpResponseTrailer(text(2))
	case "continue_stream request":
		return proxywasm.ResumeHttpRequest()
	case "continue_stream response":
		return proxywasm.ResumeHttpResponse()
	}
	switch text(0) {
	case "set_property":
		return proxywasm.SetProperty([]string{text(1)}, []byte(text(2)))
	case "get_property":
		return logField(text(1), func(name string) (string, error) {
			value, err := proxywasm.GetProperty([]string{name})
			return string(value), err
		})
	case "send_local_response":
		return proxywasm.SendHttpResponse(uint32(step[1].(float64)), [][2]string{{"x-local", "1"}}, []byte(text(2)), -1)
	case "http_call":
		headers := [][2]string{{":method", "GET"}, {":path", text(2)}, {":authority", "a"}}
		_, err := proxywasm.DispatchHttpCall(text(1), headers, nil, nil, 5000, func(_, size, _ int) {
			r.run("on_http_call_response", size, "")
		})
		return err
	}
	return fmt.Errorf("there is no such step")
}

// setBuffer knows the ranges that the SDK has: start and size 0 to prepend, any other start to append, none to replace.
func setBuffer(step []any, prepend, replace, appendTo func([]byte) error) error {
	value := []byte(step[2].(string))
	switch {
	case len(step) == 3:
		return replace(value)
	case step[3].(float64) == 0:
		return prepend(value)
	default:
		return appendTo(value)
	}
}

// logValue logs a buffer as `OP BUFFER -> VALUE`.
func logValue(step []any, get func(start, size int) ([]byte, error)) error {
	value, err := get(0, 1<<30)
	if err != nil {
		value = []byte("none")
	}
	proxywasm.LogInfof("%s %s -> %s", step[0], step[1], value)
	return nil
}

// logField logs a field or a property as `get NAME -> VALUE`.
func logField(name string, get func(string) (string, error)) error {
	value, err := get(name)
	if err != nil {
		value = "none"
	}
	proxywasm.LogInfof("get %s -> %s", name, value)
	return nil
}
