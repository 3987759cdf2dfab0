-- What APISIX does with a Wasm plugin, from its init_worker_by_lua to its body filter, and no more.
local wasm = require("resty.proxy-wasm")

local plugins, contexts = {}, {}


local function read_file(path)
    local file = assert(io.open(path))
    local text = file:read("*a")
    file:close()
    return text
end


local function closed(err)
    ngx.log(ngx.WARN, "the plugin failed: ", err)
    return ngx.exit(503)
end


-- A plugin context for each configuration, kept as long as its route.
local function configured(name, conf_file)
    if not contexts[conf_file] then
        local ctx, err = wasm.on_configure(plugins[name], read_file(conf_file))
        if not ctx then
            return nil, err
        end
        contexts[conf_file] = ctx
    end
    return contexts[conf_file]
end


local function request_body()
    ngx.req.read_body()
    local file = ngx.req.get_body_file()
    return file and read_file(file) or ngx.req.get_body_data()
end


local apisix = {}


function apisix.load(name, file)
    plugins[name] = assert(wasm.load(name, file))
end


function apisix.request(name, conf_file)
    local ctx, err = configured(name, conf_file)
    if not ctx then
        return closed(err)
    end
    ngx.ctx.plugin = ctx

    local ok
    ok, err = wasm.on_http_request_headers(ctx)
    if not ok then
        return closed(err)
    end

    -- A plugin asks for the body by this variable.
    if ngx.var.wasm_process_req_body ~= "" then
        ngx.var.wasm_process_req_body = ""
        ok, err = wasm.on_http_request_body(ctx, request_body(), true)
        if not ok then
            return closed(err)
        end
    end
end


function apisix.response_headers()
    local ctx = ngx.ctx.plugin
    if not ctx then
        return
    end

    local ok, err = wasm.on_http_response_headers(ctx)
    if not ok then
        return closed(err)
    end

    if ngx.var.wasm_process_resp_body ~= "" then
        ngx.var.wasm_process_resp_body = ""
        ngx.ctx.wants_response_body = true
    end
end


function apisix.response_body()
    if ngx.ctx.wants_response_body then
        assert(wasm.on_http_response_body(ngx.ctx.plugin))
    end
end


return apisix
