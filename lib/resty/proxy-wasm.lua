--- Proxy-Wasm plugins from Lua: what Apache APISIX calls.
---
--- The functions, their results and their errors are those of the C module's library of the same name,
--- so that APISIX runs unmodified. Everything else happens in ngx_http_proxy_wasm_module.so, through
--- symbols that no other module has.
local ffi = require("ffi")
local base = require("resty.core.base")

base.allows_subsystem("http")

local C = ffi.C
local ffi_gc = ffi.gc
local ffi_str = ffi.string
local get_request = base.get_request
local type = type
local tonumber = tonumber
local tostring = tostring
local pairs = pairs
local ipairs = ipairs
local io_open = io.open
local concat = table.concat
local error = error
local pcall = pcall
local require = require
local gmatch = string.gmatch
local match = string.match
local ngx = ngx
local thread_spawn = ngx.thread.spawn
local thread_kill = ngx.thread.kill
local ngx_exit = ngx.exit
local ngx_log = ngx.log
local ngx_print = ngx.print
local ngx_arg = ngx.arg
local get_phase = ngx.get_phase
local new_semaphore = require("ngx.semaphore").new

local VERSION = "0.1.0"

ffi.cdef [[
typedef struct ngx_http_request_s  ngx_http_request_t;

void *ngx_http_proxy_wasm_load(const char *name, size_t name_len, const char *path, size_t path_len);
void ngx_http_proxy_wasm_unload(void *plugin);
int ngx_http_proxy_wasm_is_loading(void *plugin);
void ngx_http_proxy_wasm_wait_for_module(void *plugin, void *semaphore, void *post);
int ngx_http_proxy_wasm_wait_shortly(void *plugin);
void *ngx_http_proxy_wasm_on_configure(void *plugin, const char *conf, size_t conf_len);
void ngx_http_proxy_wasm_delete_plugin_ctx(void *ctx);
int ngx_http_proxy_wasm_on_http_request_headers(ngx_http_request_t *r, void *ctx);
int ngx_http_proxy_wasm_on_http_response_headers(ngx_http_request_t *r, void *ctx);
int ngx_http_proxy_wasm_on_http_request_body(ngx_http_request_t *r, void *ctx, const char *body, size_t body_len,
    int end_of_body);
int ngx_http_proxy_wasm_on_http_response_body(ngx_http_request_t *r, void *ctx, const char *body, size_t body_len,
    int end_of_body);

typedef struct {
    const char *data;
    size_t      len;
} ngx_http_proxy_wasm_text_t;

typedef struct {
    uint32_t                    id;
    uint32_t                    timeout;
    uint32_t                    port;
    int                         ssl_verify;
    size_t                      response_limit;
    ngx_http_proxy_wasm_text_t  method;
    ngx_http_proxy_wasm_text_t  host;
    ngx_http_proxy_wasm_text_t  path;
    ngx_http_proxy_wasm_text_t  fields;
    ngx_http_proxy_wasm_text_t  body;
    ngx_http_proxy_wasm_text_t  ssl_server_name;
} ngx_http_proxy_wasm_call_t;

int ngx_http_proxy_wasm_next_call(ngx_http_request_t *r, ngx_http_proxy_wasm_call_t *call);
void ngx_http_proxy_wasm_call_answered(ngx_http_request_t *r, uint32_t id, uint32_t status, const char *fields,
    size_t fields_len, const char *body, size_t body_len);
void ngx_http_proxy_wasm_call_failed(ngx_http_request_t *r, uint32_t id, const char *reason, size_t reason_len);
void ngx_http_proxy_wasm_call_declined(ngx_http_request_t *r, uint32_t id);

void ngx_http_proxy_wasm_wait(ngx_http_request_t *r, void *semaphore, void *post);
int ngx_http_proxy_wasm_resumed(ngx_http_request_t *r, void *ctx);
int ngx_http_proxy_wasm_changed_body(ngx_http_request_t *r, const char **body, size_t *body_len);
int ngx_http_proxy_wasm_local_response(ngx_http_request_t *r, const char **body, size_t *body_len);
int ngx_http_proxy_wasm_metrics(const char **text, size_t *len);
int ngx_http_proxy_wasm_status(const char **text, size_t *len);
int ngx_http_proxy_wasm_get_property(ngx_http_request_t *r, const char *path, size_t path_len, const char **value,
    size_t *value_len);
int ngx_http_proxy_wasm_set_property(ngx_http_request_t *r, const char *name, size_t name_len, const char *value,
    size_t value_len);
void ngx_http_proxy_wasm_register(const char *version, size_t version_len, const char *path, size_t path_len);
]]

-- Half an install must not pass silently: APISIX takes a `require` that fails for a runtime without
-- Wasm, and keeps the reason to itself. So it is logged as well.
if not pcall(function() return C.ngx_http_proxy_wasm_load end) then
    local missing = "resty.proxy-wasm: ngx_http_proxy_wasm_module.so is not loaded: "
                    .. "add a load_module line for it to the main block of nginx.conf"
    ngx_log(ngx.ERR, missing)
    error(missing, 0)
end

-- A file and a module of different versions work as well as they can: nothing above ever changes its
-- arguments. But somebody should know.
if pcall(function() return C.ngx_http_proxy_wasm_register end) then
    local path = debug.getinfo(1, "S").source:gsub("^@", "")
    C.ngx_http_proxy_wasm_register(VERSION, #VERSION, path, #path)
else
    ngx_log(ngx.ERR, "resty.proxy-wasm: ngx_http_proxy_wasm_module.so is older than this file, ",
            "which is of version ", VERSION, ": install both from one release, and restart nginx")
end

local OUTCOME_NO_REQUEST = -2
local OUTCOME_ERROR = -1
local OUTCOME_CONTINUE = 0
local OUTCOME_ANSWER = 1
local OUTCOME_PAUSE = 2

-- Where a request's ngx.ctx has the semaphore that its thread waits on.
local SEMAPHORE = "resty.proxy-wasm semaphore"

-- Seconds; the module wakes us long before, at wasm_pause_timeout.
local LONGEST_WAIT = 24 * 60 * 60

-- Bytes of a response's body that are read at once.
local PIECE = 64 * 1024

local post_semaphore = ffi.cast("void *", C.ngx_http_lua_ffi_sema_post)

-- An older module loads a plugin before `load` returns.
local waits_for_modules = pcall(function() return C.ngx_http_proxy_wasm_is_loading end)

--- Those who wait for a plugin, to configure it.
---@class resty.proxy-wasm.waiting
---@field semaphore table of ngx.semaphore
---@field contexts table<string, resty.proxy-wasm.ctx|false> what they made, by its configuration

-- By the address of the plugin. An entry stays until the module has posted the semaphore for all,
-- though some may have been killed.
---@type table<string, resty.proxy-wasm.waiting>
local waiting_for_modules = {}

local body_out = ffi.new("const char *[1]")
local body_len_out = ffi.new("size_t[1]")
local call_out = ffi.new("ngx_http_proxy_wasm_call_t")


---@class resty.proxy-wasm
---@field _VERSION string
local _M = { _VERSION = VERSION }

---@alias resty.proxy-wasm.plugin ffi.cdata* a plugin, which Lua's garbage collector unloads
---@alias resty.proxy-wasm.ctx ffi.cdata* a plugin context, which Lua's garbage collector deletes
---@alias resty.proxy-wasm.request ffi.cdata* nginx's request

--- What resty.http is to do for a call.
---@class resty.proxy-wasm.call
---@field id integer
---@field timeout integer in milliseconds
---@field response_limit integer in bytes
---@field server table for `connect`
---@field request table for `request`


--- Begins to load a plugin, and returns at once. A file that cannot be a plugin is an error here; whatever
--- else is wrong with it, `on_configure` finds.
---@param name string its name, for the log and the properties `plugin_name` and `plugin_root_id`
---@param path string the module, .wasm or .wat
---@return resty.proxy-wasm.plugin? plugin
---@return string? err
function _M.load(name, path)
    local file, err = io_open(path, "rb")
    if not file then
        return nil, err
    end
    file:close()

    local plugin = C.ngx_http_proxy_wasm_load(name, #name, path, #path)
    if plugin == nil then
        return nil, "failed to load wasm plugin"
    end

    return ffi_gc(plugin, C.ngx_http_proxy_wasm_unload)
end


-- Waits, without keeping the worker, until a plugin is loaded or has failed. Where Lua cannot wait, the
-- module waits for a moment, and at a worker's start for as long as it takes.
---@param plugin resty.proxy-wasm.plugin
---@return boolean done
---@return resty.proxy-wasm.waiting? waiting those who waited, if anybody did
local function wait_for_module(plugin)
    local address = tostring(plugin)
    local waiting
    while C.ngx_http_proxy_wasm_is_loading(plugin) ~= 0 and get_phase() ~= "init_worker" do
        waiting = waiting_for_modules[address]
        if not waiting then
            local semaphore, err = new_semaphore(0)
            if not semaphore then
                ngx_log(ngx.ERR, err)
                return false
            end
            waiting = { semaphore = semaphore, contexts = {} }
            waiting_for_modules[address] = waiting
        end

        C.ngx_http_proxy_wasm_wait_for_module(plugin, waiting.semaphore.sem, post_semaphore)
        local done, err = waiting.semaphore:wait(LONGEST_WAIT)
        if not done and err ~= "timeout" and C.ngx_http_proxy_wasm_wait_shortly(plugin) == 0 then
            ngx_log(ngx.ERR, "a plugin is still being compiled, and ", get_phase(), " cannot wait for it")
            return false
        end
    end

    waiting_for_modules[address] = nil
    return true, waiting
end


---@param plugin resty.proxy-wasm.plugin
---@param conf string
---@return resty.proxy-wasm.ctx? ctx
local function new_context(plugin, conf)
    local ctx = C.ngx_http_proxy_wasm_on_configure(plugin, conf, #conf)
    return ctx ~= nil and ffi_gc(ctx, C.ngx_http_proxy_wasm_delete_plugin_ctx) or nil
end


-- As new_context, once for all who have waited with the same configuration: APISIX keeps a plugin context
-- when it has one, so all requests that came meanwhile have asked for theirs.
---@param waiting resty.proxy-wasm.waiting
---@param plugin resty.proxy-wasm.plugin
---@param conf string
---@return resty.proxy-wasm.ctx? ctx
local function shared_context(waiting, plugin, conf)
    local contexts = waiting.contexts
    if contexts[conf] == nil then
        contexts[conf] = new_context(plugin, conf) or false
    end

    return contexts[conf] or nil
end


--- Makes a plugin context: one configuration of a plugin. Waits for the plugin while it is loaded; where
--- Lua cannot wait, as in header_filter, a plugin that is still compiled is an error.
---@param plugin resty.proxy-wasm.plugin
---@param conf string the configuration, which is not empty
---@return resty.proxy-wasm.ctx? ctx
---@return string? err
function _M.on_configure(plugin, conf)
    if type(plugin) ~= "cdata" then
        return nil, "bad plugin"
    end

    if type(conf) ~= "string" or conf == "" then
        return nil, "bad conf"
    end

    local done, waiting = true, nil
    if waits_for_modules then
        done, waiting = wait_for_module(plugin)
    end

    local ctx
    if done then
        ctx = waiting and shared_context(waiting, plugin, conf) or not waiting and new_context(plugin, conf)
    end

    if not ctx then
        return nil, "failed to run proxy_on_configure"
    end

    return ctx
end


-- The running request, if this is a plugin context.
---@param ctx resty.proxy-wasm.ctx
---@return resty.proxy-wasm.request? r
---@return string? err
local function request_of(ctx)
    if type(ctx) ~= "cdata" then
        return nil, "bad plugin ctx"
    end

    local r = get_request()
    if not r then
        return nil, "bad request"
    end

    return r
end


-- The error for an outcome below OUTCOME_CONTINUE.
---@param outcome integer
---@param message string
---@return string
local function failure(outcome, message)
    if outcome == OUTCOME_NO_REQUEST then
        return "bad request"
    end

    return message
end


-- lua-resty-http, if it is installed. Not before the first call: it keeps the `ngx.socket.tcp` that it
-- finds, and APISIX replaces that one by its own, which resolves names APISIX's way.
local resty_http
---@return table|false
local function http_library()
    if resty_http == nil then
        local found, library = pcall(require, "resty.http")
        resty_http = found and library
        if not found then
            ngx_log(ngx.WARN, "resty.http cannot be loaded, so this module's own client makes the HTTP calls ",
                    "of plugins: names by nginx's resolver, certificates by wasm_ssl_trusted_certificate: ",
                    match(tostring(library), "^[^\n]*"))
        end
    end

    return resty_http
end


---@param text ffi.cdata* an ngx_http_proxy_wasm_text_t
---@return string
local function text_of(text)
    return ffi_str(text.data, text.len)
end


-- What `call_out` describes, in the terms of resty.http.
---@return resty.proxy-wasm.call
local function described_call()
    local headers = {}
    for name, value in gmatch(text_of(call_out.fields), "([^:]+):([^\n]*)\n") do
        local values = headers[name]
        if not values then
            headers[name] = value
        elseif type(values) == "table" then
            values[#values + 1] = value
        else
            headers[name] = { values, value }
        end
    end

    -- Some of its versions refuse a question mark in the path.
    local path, query = match(text_of(call_out.path), "^([^?]*)%??(.*)$")
    local port = tonumber(call_out.port)
    local tls = call_out.ssl_server_name.len > 0
    return {
        id = call_out.id,
        timeout = tonumber(call_out.timeout),
        response_limit = tonumber(call_out.response_limit),
        server = {
            scheme = tls and "https" or port > 0 and "http" or nil,
            host = text_of(call_out.host),
            port = port > 0 and port or nil,
            ssl_verify = call_out.ssl_verify ~= 0,
            ssl_server_name = tls and text_of(call_out.ssl_server_name) or nil,
        },
        request = {
            method = text_of(call_out.method),
            path = path,
            query = query,
            headers = headers,
            body = call_out.body.len > 0 and text_of(call_out.body) or nil,
        },
    }
end


-- The whole body.
---@param res table the response of resty.http
---@param limit integer in bytes
---@return string? body
---@return string? err
local function read_body(res, limit)
    if not res.has_body then
        return ""
    end

    local headers = res.headers
    local ends_with_connection = not headers["Content-Length"] and not headers["Transfer-Encoding"]
    local pieces, size = {}, 0
    repeat
        local piece, err = res.body_reader(PIECE)
        if err and not (ends_with_connection and err == "closed") then
            return nil, err
        end

        if piece then
            size = size + #piece
            if size > limit then
                return nil, "response larger than " .. limit .. " bytes"
            end
            pieces[#pieces + 1] = piece
        end
    until not piece or err

    return concat(pieces)
end


-- A response's fields, a line each; trailers that it announces stay unread.
---@param headers table<string, string|string[]>
---@return string
local function fields_of(headers)
    local lines = {}
    for name, values in pairs(headers) do
        for _, value in ipairs(type(values) == "table" and values or { values }) do
            lines[#lines + 1] = name .. ":" .. value .. "\n"
        end
    end

    return concat(lines)
end


-- Sends a request on a connection of its own.
---@param client table of resty.http
---@param call resty.proxy-wasm.call
---@return table? res
---@return string? err
local function send(client, call)
    client:set_timeout(call.timeout)
    local connected, err = client:connect(call.server)
    if not connected then
        return nil, err
    end

    return client:request(call.request)
end


-- The response and its body; or nil and an error.
---@param http table resty.http
---@param call resty.proxy-wasm.call
---@return table? res
---@return string? body_or_err
local function request(http, call)
    local client, no_client = http.new()
    if not client then
        return nil, no_client
    end

    local res, body, err
    res, err = send(client, call)
    if res then
        body, err = read_body(res, call.response_limit)
    end

    -- resty.http does not know where trailers end.
    if not body or res.headers["Trailer"] or not client:set_keepalive() then
        client:close()
    end

    return body and res, body or err
end


-- Makes a call, in a light thread.
---@param r resty.proxy-wasm.request
---@param http table resty.http
---@param call resty.proxy-wasm.call
local function make_call(r, http, call)
    local done, res, body = pcall(request, http, call)
    if done and res then
        local fields = fields_of(res.headers)
        C.ngx_http_proxy_wasm_call_answered(r, call.id, res.status, fields, #fields, body, #body)
    else
        local reason = tostring(not done and res or body)
        C.ngx_http_proxy_wasm_call_failed(r, call.id, reason, #reason)
    end
end


-- Begins the calls that the module leaves to Lua.
---@param r resty.proxy-wasm.request
---@param threads thread[]
local function begin_calls(r, threads)
    while C.ngx_http_proxy_wasm_next_call(r, call_out) ~= 0 do
        local http = http_library()
        if http then
            threads[#threads + 1] = thread_spawn(make_call, r, http, described_call())
        else
            C.ngx_http_proxy_wasm_call_declined(r, call_out.id)
        end
    end
end


-- Waits, without keeping the worker, for the calls that a plugin made, or for it to resume the request.
---@param r resty.proxy-wasm.request
---@param ctx resty.proxy-wasm.ctx
---@param outcome integer
---@return integer outcome
local function wait(r, ctx, outcome)
    local threads = {}
    while outcome == OUTCOME_PAUSE do
        begin_calls(r, threads)
        local semaphore = new_semaphore(0)
        if semaphore then
            -- The module may post it for as long as the request lives, and this thread may be killed before.
            ngx.ctx[SEMAPHORE] = semaphore
            C.ngx_http_proxy_wasm_wait(r, semaphore.sem, post_semaphore)
            semaphore:wait(LONGEST_WAIT)
            outcome = C.ngx_http_proxy_wasm_resumed(r, ctx)
        else
            outcome = OUTCOME_ERROR
        end
    end

    -- nginx's phase would last as long as they do, and nobody waits for them any more.
    for _, thread in ipairs(threads) do
        thread_kill(thread)
    end

    return outcome
end


-- Sends the answer that a plugin gave; does not return.
---@param r resty.proxy-wasm.request
---@return boolean? done
---@return string? err
local function send_local_response(r)
    local code = C.ngx_http_proxy_wasm_local_response(r, body_out, body_len_out)
    if code < 0 then
        return nil, "failed to send local response"
    end

    ngx.status = code

    local len = tonumber(body_len_out[0])
    if len > 0 then
        ngx_print(ffi_str(body_out[0], len))
    end

    return ngx_exit(code)
end


--- Runs `proxy_on_request_headers`.
---@param ctx resty.proxy-wasm.ctx
---@return true? done
---@return string? err
function _M.on_http_request_headers(ctx)
    local r, err = request_of(ctx)
    if not r then
        return nil, err
    end

    local outcome = C.ngx_http_proxy_wasm_on_http_request_headers(r, ctx)
    if outcome == OUTCOME_CONTINUE then
        return true
    end

    if outcome < OUTCOME_CONTINUE then
        return nil, failure(outcome, "failed to run proxy_on_http_request_headers")
    end

    outcome = wait(r, ctx, outcome)
    if outcome < OUTCOME_CONTINUE then
        return nil, failure(outcome, "failed to run proxy_on_http_call_response")
    end

    if outcome == OUTCOME_ANSWER then
        return send_local_response(r)
    end

    return true
end


--- Runs `proxy_on_response_headers`. If the plugin pauses, the module holds the response when
--- header_filter has returned.
---@param ctx resty.proxy-wasm.ctx
---@return true? done
---@return string? err
function _M.on_http_response_headers(ctx)
    local r, err = request_of(ctx)
    if not r then
        return nil, err
    end

    local outcome = C.ngx_http_proxy_wasm_on_http_response_headers(r, ctx)
    if outcome < OUTCOME_CONTINUE then
        return nil, failure(outcome, "failed to run proxy_on_http_response_headers")
    end

    return true
end


-- The body that a plugin made of the one it was given, or nil.
---@param r resty.proxy-wasm.request
---@return string?
local function changed_body(r)
    if C.ngx_http_proxy_wasm_changed_body(r, body_out, body_len_out) == 0 then
        return nil
    end

    return ffi_str(body_out[0], body_len_out[0])
end


--- Runs `proxy_on_request_body`; what the plugin makes of the body goes upstream.
---@param ctx resty.proxy-wasm.ctx
---@param body string? the body, or a piece of it
---@param end_of_body boolean whether it ends here
---@return true? done
---@return string? err
function _M.on_http_request_body(ctx, body, end_of_body)
    local r, err = request_of(ctx)
    if not r then
        return nil, err
    end

    body = body or ""
    local outcome = C.ngx_http_proxy_wasm_on_http_request_body(r, ctx, body, #body, end_of_body and 1 or 0)
    if outcome < OUTCOME_CONTINUE then
        return nil, failure(outcome, "failed to run proxy_on_http_request_body")
    end

    -- Most do not wait. A loop that is entered for nothing would end LuaJIT's trace.
    if outcome == OUTCOME_PAUSE then
        outcome = wait(r, ctx, outcome)
        if outcome < OUTCOME_CONTINUE then
            return nil, failure(outcome, "failed to run proxy_on_http_call_response")
        end
    end

    if outcome == OUTCOME_ANSWER then
        return send_local_response(r)
    end

    local changed = changed_body(r)
    if changed then
        ngx.req.read_body()
        ngx.req.set_body_data(changed)
    end

    return true
end


--- Runs `proxy_on_response_body` on the chunk in `ngx.arg`; what the plugin makes of it goes to the client.
---@param ctx resty.proxy-wasm.ctx
---@return true? done
---@return string? err
function _M.on_http_response_body(ctx)
    local r, err = request_of(ctx)
    if not r then
        return nil, err
    end

    local body = ngx_arg[1] or ""
    local outcome = C.ngx_http_proxy_wasm_on_http_response_body(r, ctx, body, #body, ngx_arg[2] and 1 or 0)
    if outcome < OUTCOME_CONTINUE then
        return nil, failure(outcome, "failed to run proxy_on_http_response_body")
    end

    if outcome == OUTCOME_PAUSE then
        -- kept by the module, the end too, until the plugin has seen more or lets go of it
        if ngx_arg[2] then
            ngx_arg[2] = false
        end
        -- but what the plugin has put in front of it goes on
        ngx_arg[1] = changed_body(r)
        return true
    end

    local changed = changed_body(r)
    if changed then
        ngx_arg[1] = changed
    end

    return true
end


--- A property of the running request, in the bytes that plugins get.
---@param ... string the segments of its path, such as "request", "headers", "host"; one alone is an nginx variable
---@return string? value nil if there is none
---@return string? err
function _M.get_property(...)
    local r = get_request()
    if not r then
        return nil, "bad request"
    end

    local path = concat({ ... }, "\0")
    local found = C.ngx_http_proxy_wasm_get_property(r, path, #path, body_out, body_len_out)
    if found == OUTCOME_NO_REQUEST then
        return nil, "bad request"
    end

    if found ~= 1 then
        return nil
    end

    return ffi_str(body_out[0], body_len_out[0])
end


-- By what ngx_http_proxy_wasm_set_property answers.
---@type table<integer, string>
local PROPERTY_ERRORS = {
    [OUTCOME_NO_REQUEST] = "bad request",
    [OUTCOME_ERROR] = "no memory",
    [1] = "not found",
    [2] = "not changeable",
    [3] = "unsafe value",
}


--- Sets a property that plugins will see: an nginx variable.
---@param name string
---@param value string
---@return true? done
---@return string? err
function _M.set_property(name, value)
    local r = get_request()
    if not r then
        return nil, "bad request"
    end

    local err = PROPERTY_ERRORS[C.ngx_http_proxy_wasm_set_property(r, name, #name, value, #value)]
    if err then
        return nil, err
    end

    return true
end


--- What this worker runs, as `wasm_status` says it.
---@return table? status
---@return string? err
function _M.status()
    local ok, cjson = pcall(require, "cjson.safe")
    if not ok then
        return nil, "no cjson.safe: install lua-cjson"
    end

    if C.ngx_http_proxy_wasm_status(body_out, body_len_out) ~= 0 then
        return nil, "no status: miss wasm_vm configuration"
    end

    return cjson.decode(ffi_str(body_out[0], body_len_out[0]))
end


--- The metrics of all workers, as `wasm_metrics` serves them: for APISIX's own metrics page.
---@return string? text Prometheus'
---@return string? err
function _M.metrics()
    if C.ngx_http_proxy_wasm_metrics(body_out, body_len_out) ~= 0 then
        return nil, "no metrics: miss wasm_vm configuration"
    end

    return ffi_str(body_out[0], body_len_out[0])
end


return _M
