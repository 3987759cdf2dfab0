-- What Apache APISIX, 3.6 to 3.18, does with Wasm plugins, and nothing else of it: the suites of t/apisix are driven by this.
--
--   config    its config.yaml: the plugins
--   resources its apisix.yaml, or etcd: routes, services, global rules
--
-- Both are given as JSON, see t/lib/ProxyWasm/Apisix.pm. Functions are named for the phases that call them.
local cjson = require("cjson.safe")
local found, wasm = pcall(require, "resty.proxy-wasm")

local ngx = ngx
local ipairs = ipairs
local pairs = pairs
local type = type

local _M = {}

-- The loaded plugins, high priorities first, and what the resources say. A reload replaces them; what was, goes by GC.
local plugins = {}
local resources = {}


local function log_error(...)
    ngx.log(ngx.ERR, ...)
end


local function read_json(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return assert(cjson.decode(text))
end


-- {type, id} of a place and the plugin's configuration there have one plugin context, made when a request first asks for it. It
-- is kept in the configuration, so it goes when that does.
local function context_of(plugin, conf, place)
    conf.contexts = conf.contexts or {}
    local key = place.type .. "#" .. place.id
    if not conf.contexts[key] then
        local text = conf.conf
        if type(text) == "table" then
            text = cjson.encode(text)
        end

        local ctx, err = wasm.on_configure(plugin.handle, text)
        if not ctx then
            log_error(plugin.name, ": failed to fetch wasm plugin ctx: ", err)
            return nil
        end
        conf.contexts[key] = ctx
    end

    return conf.contexts[key]
end


local function request_body()
    ngx.req.read_body()
    local body = ngx.req.get_body_data()
    local path = not body and ngx.req.get_body_file()
    if path then
        local file = assert(io.open(path, "rb"))
        body = file:read("*a")
        file:close()
    end

    return body
end


-- nil, or the status to answer with.
local function on_request(plugin, conf, place)
    local ctx = context_of(plugin, conf, place)
    if not ctx then
        return 503
    end

    local ok, err = wasm.on_http_request_headers(ctx)
    -- set by plugins that want the body, and asked for by one after the other
    if ok and ngx.var.wasm_process_req_body ~= "" then
        ngx.var.wasm_process_req_body = ""
        ok, err = wasm.on_http_request_body(ctx, request_body(), true)
    end

    if not ok then
        log_error(plugin.name, ": failed to run wasm plugin: ", err)
        return 503
    end
end


local function on_response_headers(plugin, conf, place, state)
    local ctx = context_of(plugin, conf, place)
    if not ctx then
        return
    end

    local ok, err = wasm.on_http_response_headers(ctx)
    if not ok then
        log_error(plugin.name, ": failed to run wasm plugin: ", err)
        return
    end

    if ngx.var.wasm_process_resp_body ~= "" then
        ngx.var.wasm_process_resp_body = ""
        state.wants_response_body[plugin.name] = true
    end
end


local function on_response_body(plugin, conf, place, state)
    if not state.wants_response_body[plugin.name] then
        return
    end

    local ctx = context_of(plugin, conf, place)
    if not ctx then
        return
    end

    local ok, err = wasm.on_http_response_body(ctx)
    if not ok then
        log_error(plugin.name, ": failed to run wasm plugin: ", err)
    end
end


-- A plugin that does not load is left out, and routes are served without it.
local function load_plugin(attributes)
    if not found then
        return nil, "need to build APISIX-Runtime to support wasm"
    end

    local handle, err = wasm.load(attributes.name, attributes.file)
    if not handle then
        return nil, err
    end

    local request_phase = attributes.http_request_phase == "rewrite" and "rewrite" or "access"
    return {
        name = attributes.name,
        priority = attributes.priority,
        handle = handle,
        [request_phase] = on_request,
        header_filter = on_response_headers,
        body_filter = on_response_body,
    }
end


-- The plugins that a place configures, in the order of their priorities, unless a `_meta.priority` says otherwise.
local function plugins_of(place)
    local list = {}
    for _, plugin in ipairs(plugins) do
        local conf = place.plugins and place.plugins[plugin.name]
        if conf then
            list[#list + 1] = { plugin = plugin, conf = conf, order = conf._meta and conf._meta.priority or plugin.priority }
        end
    end
    table.sort(list, function(a, b) return a.order > b.order end)

    return list
end


local function run(phase, place, state)
    for _, entry in ipairs(plugins_of(place)) do
        local handler = entry.plugin[phase]
        local status = handler and handler(entry.plugin, entry.conf, place, state)
        if status then
            ngx.status = status
            return ngx.exit(status)
        end
    end
end


local function copy(value)
    if type(value) ~= "table" then
        return value
    end

    local result = {}
    for k, v in pairs(value) do
        result[k] = copy(v)
    end
    return result
end


-- A route with what its service has; two routes of a service share no configuration.
local function merge_service(route)
    local service
    for _, candidate in ipairs(resources.services or {}) do
        service = candidate.id == route.service_id and candidate or service
    end
    if not service then
        return { type = "route", id = route.id, plugins = route.plugins or {} }
    end

    local merged = { type = "route&service", id = route.id .. "&" .. service.id, plugins = copy(service.plugins or {}) }
    for name, conf in pairs(route.plugins or {}) do
        merged.plugins[name] = conf
    end
    return merged
end


local function match(uri)
    for _, route in ipairs(resources.routes or {}) do
        if route.uri == uri or route.uri:sub(-1) == "*" and uri:find(route.uri:sub(1, -2), 1, true) == 1 then
            route.merged = route.merged or merge_service(route)
            return route.merged
        end
    end
end


-- All global rules are one place, and come before the route in every phase.
local function global_rule()
    if not resources.global then
        resources.global = { type = "global_rule", id = 1, plugins = {} }
        for _, rule in ipairs(resources.global_rules or {}) do
            for name, conf in pairs(rule.plugins) do
                resources.global.plugins[name] = conf
            end
        end
    end

    return resources.global
end


--- Loads the plugins of a config.json: as workers start, and again on a plugin reload.
function _M.load_plugins(path)
    local loaded = {}
    for _, attributes in ipairs(read_json(path).wasm.plugins) do
        local plugin, err = load_plugin(attributes)
        if plugin then
            loaded[#loaded + 1] = plugin
        else
            log_error("failed to load plugin [", attributes.name, "] err: ", err)
        end
    end
    table.sort(loaded, function(a, b) return a.priority > b.priority end)
    plugins = loaded
end


--- Routes, services and global rules of an apisix.json: as workers start, and when one changes.
function _M.load_resources(path)
    resources = read_json(path)
end


--- Replaces the resources by those in a JSON text, as an update of etcd's.
function _M.update(text)
    resources = assert(cjson.decode(text))
end


--- What Lua no longer holds goes now.
function _M.collect()
    collectgarbage()
    collectgarbage()
end


function _M.access()
    local place = match(ngx.var.uri)
    local state = { place = place, wants_response_body = {} }
    ngx.ctx.gateway = state
    for _, phase in ipairs({ "rewrite", "access" }) do
        run(phase, global_rule(), state)
    end
    if not place then
        return ngx.exit(404)
    end

    for _, phase in ipairs({ "rewrite", "access" }) do
        run(phase, place, state)
    end
end


local function after(phase)
    local state = ngx.ctx.gateway
    if state then
        run(phase, global_rule(), state)
        if state.place then
            run(phase, state.place, state)
        end
    end
end


function _M.header_filter()
    after("header_filter")
end


function _M.body_filter()
    after("body_filter")
end


return _M
