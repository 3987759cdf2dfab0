-- The upstream of the front fuzzer answers as the argument `up` says: words with dots between, carried out in their order.
--
--   Ln  a body of n bytes; C  in chunks; neither: until the connection is closed
--   Sn  status n; R  X-Accel-Redirect; M  a header too large for nginx
--   I   an informational response
--   Wn  waits n milliseconds
--   Bn  n bytes of the body (the header goes before them)
--   G   garbage
--   E   ends the response; T  with trailers; X  without
--
-- Without `up` it answers the URI, and keeps the connection. What it sends is made of the URI, so whoever gets it can see
-- whether it is his.
local ngx = ngx

local function head(state)
    if state.sent then
        return ""
    end
    state.sent = true
    return "HTTP/1.1 " .. (state.status or "200") .. " OK\r\n" .. table.concat(state.fields) .. "\r\n"
end

local function piece(state, bytes)
    if state.chunked and #bytes > 0 then
        return ("%x\r\n%s\r\n"):format(#bytes, bytes)
    end
    return bytes
end

local function body(tag, size)
    size = math.min(tonumber(size) or 0, 1000000)
    return tag:rep(math.ceil(size / #tag)):sub(1, size)
end

local words = {
    L = function(state, n) state.fields[#state.fields + 1] = "Content-Length: " .. n .. "\r\n" end,
    C = function(state)
        state.chunked = true
        state.fields[#state.fields + 1] = "Transfer-Encoding: chunked\r\n"
    end,
    S = function(state, n) state.status = n end,
    R = function(state) state.fields[#state.fields + 1] = "X-Accel-Redirect: /accel/file\r\n" end,
    M = function(state) state.fields[#state.fields + 1] = "X-Large: " .. ("x"):rep(70000) .. "\r\n" end,
    I = function() return "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" end,
    W = function(_, n) ngx.sleep(math.min(tonumber(n) or 0, 2000) / 1000) end,
    B = function(state, n) return head(state) .. piece(state, body(state.tag, n)) end,
    G = function() return "\0\1garbage\r\n: \r\n\r\n" end,
    E = function(state) return head(state) .. (state.chunked and "0\r\n\r\n" or "") end,
    T = function(state) return head(state) .. (state.chunked and "0\r\nX-Trailer: t\r\n\r\n" or "") end,
    X = function() end,
}

local function send_raw(socket)
    return function(bytes) return socket:send(bytes) end
end

-- Over HTTP/2 nginx writes the frames: a header, and pieces.
local function send_framed(bytes)
    return ngx.print(bytes) and ngx.flush(true)
end

local function run(program, tag, send, framed)
    local state = { fields = {}, tag = tag, sent = framed }
    for word, n in program:gmatch("(%a)(%d*)") do
        local bytes = words[word] and words[word](state, n)
        if bytes and #bytes > 0 and not send(bytes) or word == "X" then
            return
        end
    end
end

return function()
    local program = ngx.var.arg_up or ""
    -- What is cached goes to several.
    local tag = ngx.var.uri == "/untagged" and "untagged " or "[" .. ngx.var.request_uri .. "]"
    ngx.req.read_body()
    if ngx.req.http_version() == 2 then
        ngx.header["Content-Type"] = "application/grpc"
        return run(program, tag, send_framed, true)
    end
    local socket = program ~= "" and ngx.req.socket(true)
    if not socket then
        return ngx.print(tag, ngx.req.get_body_data())
    end
    run(program, tag, send_raw(socket), false)
end
