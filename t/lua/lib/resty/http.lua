-- What stands in for lua-resty-http in tests: the part of its interface that lib/resty/proxy-wasm.lua uses, by the library's README,
-- over the same sockets of ngx.socket.tcp. It is strict: what the library would not take, or not in all versions, is an error.
local ngx_socket_tcp = ngx.socket.tcp
local setmetatable = setmetatable
local tonumber = tonumber
local type = type
local pairs = pairs
local error = error
local lower = string.lower

local _M = {}
local mt = { __index = _M }

local OPTIONS_OF_CONNECT = { scheme = "string", host = "string", port = "number", ssl_verify = "boolean", ssl_server_name = "string" }
local PARAMS_OF_REQUEST = { method = "string", path = "string", query = "string", headers = "table", body = "string" }


local function check(given, known)
    for name, value in pairs(given) do
        if type(value) ~= known[name] then
            error("resty.http: " .. name .. " is a " .. type(value))
        end
    end
end


-- A table of fields, whose names match without case.
local function new_headers()
    return setmetatable({}, { __index = function(headers, name)
        for known, value in pairs(headers) do
            if lower(known) == lower(name) then
                return value
            end
        end
    end })
end


function _M.new()
    local sock, err = ngx_socket_tcp()
    if not sock then
        return nil, err
    end

    return setmetatable({ sock = sock, keepalive = true }, mt)
end


function _M:set_timeout(milliseconds)
    return self.sock:settimeout(milliseconds)
end


function _M:connect(options)
    check(options, OPTIONS_OF_CONNECT)
    local tls = options.scheme == "https"
    local port = options.port or options.scheme and (tls and 443 or 80)
    local pool = table.concat({ options.scheme or "", options.host, port or "", options.ssl_server_name or "",
        options.ssl_verify and "verified" or "" }, ":")

    local ok, err
    if port then
        ok, err = self.sock:connect(options.host, port, { pool = pool })
    else
        ok, err = self.sock:connect(options.host, { pool = pool })
    end
    if not ok then
        return nil, err
    end

    if tls and self.sock:getreusedtimes() == 0 then
        ok, err = self.sock:sslhandshake(nil, options.ssl_server_name, options.ssl_verify ~= false)
        if not ok then
            self:close()
            return nil, err
        end
    end

    return true
end


local function read_fields(sock)
    local fields = new_headers()
    while true do
        local line, err = sock:receive("*l")
        if not line then
            return nil, err
        end

        local name, value = line:match("^([^:%s]+):%s*(.*)$")
        if not name then
            return fields
        end

        local before = fields[name]
        if type(before) == "table" then
            before[#before + 1] = value
        else
            fields[name] = before and { before, value } or value
        end
    end
end


local function sized_reader(sock, length)
    return function(size)
        size = size < length and size or length
        if size == 0 then
            return nil
        end
        length = length - size
        return sock:receive(size)
    end
end


local function chunk_reader(sock)
    local left = 0
    return function(size)
        if left == 0 then
            local line, err = sock:receive("*l")
            if not line then
                return nil, err
            end
            left = tonumber(line, 16)
            if not left then
                return nil, "unable to read chunksize"
            end
            if left == 0 then
                sock:receive(2)
                return nil
            end
        end

        size = size < left and size or left
        local piece, err = sock:receive(size)
        if not piece then
            return nil, err
        end
        left = left - size
        if left == 0 then
            sock:receive(2)
        end
        return piece
    end
end


-- Of a body that ends with its connection.
local function last_reader(sock)
    return function(size)
        local piece, err, partial = sock:receive(size)
        if err == "closed" then
            return partial, err
        end
        return piece
    end
end


function _M:request(params)
    check(params, PARAMS_OF_REQUEST)
    if params.path:find("?", 1, true) then
        return nil, "invalid characters found in path"
    end

    local query = params.query ~= "" and "?" .. params.query or ""
    local lines = { params.method:upper() .. " " .. params.path .. query .. " HTTP/1.1\r\nUser-Agent: lua-resty-http\r\n" }
    for name, values in pairs(params.headers) do
        for _, value in pairs(type(values) == "table" and values or { values }) do
            lines[#lines + 1] = name .. ": " .. value .. "\r\n"
        end
    end
    if params.body then
        lines[#lines + 1] = "Content-Length: " .. #params.body .. "\r\n"
    end
    lines[#lines + 1] = "\r\n"
    local sent, err = self.sock:send({ lines, params.body or "" })
    if not sent then
        return nil, err
    end

    local line, no_line = self.sock:receive("*l")
    if not line then
        return nil, no_line
    end
    local status = tonumber(line:match("^HTTP/1%.[01] (%d%d%d)"))
    if not status then
        return nil, "couldn't parse HTTP version from response status line: " .. line
    end
    local headers, no_headers = read_fields(self.sock)
    if not headers then
        return nil, no_headers
    end

    self.keepalive = line:find("^HTTP/1.1") and not lower(headers["Connection"] or ""):find("close", 1, true)
    local res = { status = status, headers = headers, has_body = params.method ~= "HEAD" and status ~= 204 and status ~= 304 }
    if headers["Transfer-Encoding"] then
        res.body_reader = chunk_reader(self.sock)
    elseif headers["Content-Length"] then
        res.body_reader = sized_reader(self.sock, tonumber(headers["Content-Length"]))
    else
        res.body_reader = last_reader(self.sock)
    end
    return res
end


function _M:set_keepalive()
    if self.keepalive then
        return self.sock:setkeepalive()
    end

    return self:close() and 2
end


function _M:close()
    return self.sock:close()
end


return _M
