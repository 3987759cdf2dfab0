-- For luacheck, which `make lint` runs: OpenResty's globals.
std = "ngx_lua"
max_line_length = 120
files["t"] = { max_line_length = 140 }
files["fuzz"] = { max_line_length = 140 }
