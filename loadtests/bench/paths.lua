-- GET requests for wrk: wrk -s paths.lua URL -- FILE SKIP KEY
-- FILE holds a path a line, asked for in turn from the line after SKIP, and from the top after the last.

local file, key, lines

function init(arguments)
    file, key = arguments[1], arguments[3]
    lines = io.lines(file)
    for _ = 1, tonumber(arguments[2]) do
        lines()
    end
    tail = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\nX-API-Key: " .. key .. "\r\n\r\n"
end

function request()
    local path = lines()
    if path == nil then
        lines = io.lines(file)
        path = lines()
    end
    return "GET " .. path .. tail
end
