-- Has wrk post a body: "@@N@@" in it becomes a counter, which makes every request another one.
-- wrk ... -s wrk_post.lua URL -- BODY_FILE [Header:Value ...]
local before, after, n = nil, nil, 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local body = file:read("*a")
  file:close()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for i = 2, #arguments do
    local name, value = arguments[i]:match("^([^:]+):%s*(.*)$")
    if name then wrk.headers[name] = value end
  end
  local first, last = body:find("@@N@@", 1, true)
  if first then
    before, after = body:sub(1, first - 1), body:sub(last + 1)
  else
    wrk.body = body
  end
  n = os.time() % 100000 * 100000
end

function request()
  if not before then return wrk.format() end
  n = n + 1
  return wrk.format(nil, nil, nil, before .. n .. after)
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'JSON {"requests":%d,"us":%d,"refused":%d,"broken":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
