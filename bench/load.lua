-- The load as wrk puts it on; the order is in the environment (see load.py).
local method = os.getenv("LOAD_METHOD")
local body = os.getenv("LOAD_BODY")
local keyed = os.getenv("LOAD_KEYED") ~= ""
local run = tostring(os.time())
local headers = {
  ["Authorization"] = "Bearer " .. os.getenv("LOAD_TOKEN"),
  ["Host"] = os.getenv("LOAD_HOST"),
}
local requests = {}
local paths = {}
local count = 0

function init(args)
  if body == "" then body = nil else headers["Content-Type"] = "application/json" end
  for path in string.gmatch(os.getenv("LOAD_PATHS"), "[^\n]+") do
    paths[#paths + 1] = path
    requests[#requests + 1] = wrk.format(method, path, headers, body)
  end
end

function request()
  count = count + 1
  local turn = count % #requests + 1
  if keyed then
    headers["Idempotency-Key"] = run .. "-" .. count
    return wrk.format(method, paths[turn], headers, body)
  end
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  local bad = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '\n{"good":%d,"bad":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f}\n',
    summary.requests - errors.status, bad, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
