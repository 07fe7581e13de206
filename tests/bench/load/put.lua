-- Requests for wrk: PUTs with distinct keys and bodies. Arguments: kind (safe or etcd), bytes of a value, a word that
-- no other wrk of this run has, how many keys to go through. The token is in BENCH_TOKEN.
local first, second, third, body_head, body_tail, filler
local word, keys, count, safe = "", 1, 0, true

local function base64_length(size)
  return math.floor((size + 2) / 3) * 4
end

function init(args)
  safe = args[1] == "safe"
  local size = tonumber(args[2])
  word, keys = args[3], tonumber(args[4])
  -- 12 hexadecimal digits are valid base64 themselves: they make each value another one.
  local padding = ({ [0] = "", [1] = "==", [2] = "=" })[size % 3]
  filler = string.rep("A", base64_length(size) - 12 - #padding) .. padding
  local host = "Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
  if safe then
    body_head, body_tail = '{"fields":{"value":"', '"},"grants":["demo/web"]}'
    local length = #body_head + 12 + #filler + #body_tail
    first = "PUT /v1/secrets/bench/"
    second = " HTTP/1.1\r\n" .. host .. "Authorization: Bearer " .. os.getenv("BENCH_TOKEN") .. "\r\nContent-Length: "
      .. length .. "\r\nIdempotency-Key: "
  else
    body_head, body_tail = '","value":"', '"}'
    local length = #'{"key":"' + 16 + #body_head + 12 + #filler + #body_tail
    first = "POST /v3/kv/put HTTP/1.1\r\n" .. host .. "Content-Length: " .. length .. "\r\n\r\n" .. '{"key":"'
  end
end

function request()
  count = count + 1
  local value = string.format("%012x", count) .. filler
  if safe then
    local name = word .. "-" .. (count % keys)
    local id = word .. string.format("-%016x", count)
    return first .. name .. second .. id .. "\r\n\r\n" .. body_head .. value .. body_tail
  end
  -- The word is 8 hexadecimal digits, so that word and number are 16 letters of base64.
  return first .. word .. string.format("%08x", count % keys) .. body_head .. value .. body_tail
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    'BENCH {"requests":%d,"seconds":%f,"status":%d,"broken":%d,"p50":%f,"p99":%f}\n',
    summary.requests, summary.duration / 1e6, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
