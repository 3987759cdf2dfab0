package main

import (
	"net"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3"
	coraza_types "github.com/corazawaf/coraza/v3/types"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// How much of a body is taken from the host at once.
const pieceSize = 64 << 10

// A request and its response, as the rules see them: five phases, of which the last only logs.
type transaction struct {
	types.DefaultHttpContext
	waf      coraza.WAF
	tx       coraza_types.Transaction
	method   string
	host     string
	uri      string
	protocol string
	// The rules of the request's body have run, whether it has one or not.
	requestBodyDone bool
	// Whether the rules look at the response's body, and how much of it they were given.
	inspectsResponseBody bool
	responseBodyGiven    int
}

func (t *transaction) OnHttpRequestHeaders(_ int, endOfStream bool) types.Action {
	headers, err := proxywasm.GetHttpRequestHeaders()
	if err != nil {
		proxywasm.LogErrorf("waf: no request headers: %v", err)
		return refuse(nil)
	}
	t.begin()
	for _, field := range headers {
		t.addRequestHeader(field[0], field[1])
	}
	t.tx.ProcessURI(t.uri, t.method, t.protocol)
	if interruption := t.tx.ProcessRequestHeaders(); interruption != nil {
		return refuse(interruption)
	}
	if endOfStream || !t.tx.IsRequestBodyAccessible() {
		return t.finishRequestBody()
	}
	// APISIX reads a body only for plugins that ask for it by this property, as nginx does with
	// wasm_request_body property.
	askFor("wasm_process_req_body")
	return types.ActionContinue
}

// nginx's identifier of the request is that of the transaction, so that its log lines belong together.
func (t *transaction) begin() {
	t.tx = t.waf.NewTransactionWithID(property("request", "id"))
	if t.tx.IsRuleEngineOff() {
		return
	}
	client, clientPort := address("source")
	server, serverPort := address("destination")
	t.tx.ProcessConnection(client, clientPort, server, serverPort)
	t.protocol = property("request", "protocol")
}

func (t *transaction) addRequestHeader(name, value string) {
	switch name {
	case ":method":
		t.method = value
	case ":path":
		t.uri = value
	case ":authority":
		t.host = value
		t.tx.AddRequestHeader("host", value)
		t.tx.SetServerName(withoutPort(value))
	case "host":
		// APISIX's list has it beside :authority.
	default:
		if !strings.HasPrefix(name, ":") {
			t.tx.AddRequestHeader(name, value)
		}
	}
}

func (t *transaction) OnHttpRequestBody(bodySize int, endOfStream bool) types.Action {
	if !endOfStream {
		// The next call sees the whole.
		return types.ActionPause
	}
	if t.requestBodyDone || t.tx == nil {
		return types.ActionContinue
	}
	for start := 0; start < bodySize; start += pieceSize {
		piece, err := proxywasm.GetHttpRequestBody(start, pieceSize)
		if err != nil {
			proxywasm.LogErrorf("waf: no request body: %v", err)
			return refuse(nil)
		}
		interruption, written, err := t.tx.WriteRequestBody(piece)
		if interruption != nil || err != nil {
			return t.refuseFor(interruption, err)
		}
		if written < len(piece) {
			// The rules look no further.
			break
		}
	}
	return t.finishRequestBody()
}

func (t *transaction) finishRequestBody() types.Action {
	t.requestBodyDone = true
	interruption, err := t.tx.ProcessRequestBody()
	if interruption != nil || err != nil {
		return t.refuseFor(interruption, err)
	}
	return types.ActionContinue
}

func (t *transaction) OnHttpResponseHeaders(_ int, endOfStream bool) types.Action {
	if t.tx == nil || t.tx.IsInterrupted() {
		// nginx answered before the plugin's phase, or this is the answer that refuses.
		return types.ActionContinue
	}
	if !t.requestBodyDone {
		// wasm_request_body keeps the body from the plugin. The rules for a request run without it.
		if action := t.finishRequestBody(); action != types.ActionContinue {
			return action
		}
	}
	headers, err := proxywasm.GetHttpResponseHeaders()
	if err != nil {
		proxywasm.LogErrorf("waf: no response headers: %v", err)
		return refuse(nil)
	}
	status := 0
	for _, field := range headers {
		if field[0] == ":status" {
			status, _ = strconv.Atoi(field[1])
		} else {
			t.tx.AddResponseHeader(field[0], field[1])
		}
	}
	if interruption := t.tx.ProcessResponseHeaders(status, t.protocol); interruption != nil {
		return refuse(interruption)
	}
	t.inspectsResponseBody = !endOfStream && t.tx.IsResponseBodyAccessible() && t.tx.IsResponseBodyProcessable()
	if t.inspectsResponseBody {
		askFor("wasm_process_resp_body")
	}
	return types.ActionContinue
}

// The response waits until the rules have seen as much of it as they look at.
func (t *transaction) OnHttpResponseBody(bodySize int, endOfStream bool) types.Action {
	if !t.inspectsResponseBody {
		return types.ActionContinue
	}
	for t.responseBodyGiven < bodySize {
		piece, err := proxywasm.GetHttpResponseBody(t.responseBodyGiven, pieceSize)
		if err != nil {
			proxywasm.LogErrorf("waf: no response body: %v", err)
			return t.refuseResponse(nil)
		}
		interruption, written, err := t.tx.WriteResponseBody(piece)
		if interruption != nil || err != nil {
			return t.refuseResponseFor(interruption, err)
		}
		t.responseBodyGiven += len(piece)
		if written < len(piece) {
			// The rules look no further, and have been run.
			t.inspectsResponseBody = false
			return types.ActionContinue
		}
	}
	if !endOfStream {
		return types.ActionPause
	}
	t.inspectsResponseBody = false
	interruption, err := t.tx.ProcessResponseBody()
	if interruption != nil || err != nil {
		return t.refuseResponseFor(interruption, err)
	}
	return types.ActionContinue
}

func (t *transaction) OnHttpStreamDone() {
	if t.tx == nil {
		return
	}
	t.tx.ProcessLogging()
	t.audit()
	if err := t.tx.Close(); err != nil {
		proxywasm.LogErrorf("waf: %v", err)
	}
}

func (t *transaction) refuseFor(interruption *coraza_types.Interruption, err error) types.Action {
	if err != nil {
		proxywasm.LogErrorf("waf: %v", err)
	}
	return refuse(interruption)
}

func (t *transaction) refuseResponseFor(interruption *coraza_types.Interruption, err error) types.Action {
	if err != nil {
		proxywasm.LogErrorf("waf: %v", err)
	}
	return t.refuseResponse(interruption)
}

// A plugin that can replace a body has the response's header wait for it, so that a refusal comes in
// its place. If the header was sent, the response ends there.
func (t *transaction) refuseResponse(interruption *coraza_types.Interruption) types.Action {
	t.inspectsResponseBody = false
	if err := proxywasm.ReplaceHttpResponseBody(nil); err != nil {
		proxywasm.LogErrorf("waf: the response cannot be emptied: %v", err)
	}
	return refuse(interruption)
}

// refuse answers what the rule says: 403 where it names no status, 500 where the plugin has failed.
func refuse(interruption *coraza_types.Interruption) types.Action {
	status, headers := 500, [][2]string(nil)
	if interruption != nil {
		status = interruption.Status
		if status == 0 {
			status = 403
		}
		if interruption.Action == "redirect" {
			headers = [][2]string{{"location", interruption.Data}}
		}
	}
	if err := proxywasm.SendHttpResponse(uint32(status), headers, nil, -1); err != nil {
		proxywasm.LogErrorf("waf: the request cannot be refused: %v", err)
	}
	return types.ActionPause
}

func askFor(name string) {
	if err := proxywasm.SetProperty([]string{name}, []byte("true")); err != nil {
		proxywasm.LogErrorf("waf: the body cannot be asked for: %v", err)
	}
}

// property is empty where the host has no such one.
func property(path ...string) string {
	value, err := proxywasm.GetProperty(path)
	if err != nil {
		return ""
	}
	return string(value)
}

// address reads that of the source or the destination. A client at a Unix socket has none.
func address(of string) (string, int) {
	host, port, err := net.SplitHostPort(property(of, "address"))
	if err != nil {
		return "", 0
	}
	number, _ := strconv.Atoi(port)
	return host, number
}

func withoutPort(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
