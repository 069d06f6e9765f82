-- Sends the requests of a file in turn, over and over: wrk … -s requests.lua URL -- FILE
--
-- A line of the file is a request: method, path, a header ("Name: value", or nothing) and body (or nothing), with a
-- tab between each. Each thread of wrk begins elsewhere in the file. The last line printed is JSON.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(arguments)
  requests = {}
  for line in io.lines(arguments[1]) do
    local method, path, header, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
    local headers = {}
    local name, value = header:match("^([^:]+): (.*)$")
    if name then headers[name] = value end
    if body == "" then body = nil end
    requests[#requests + 1] = wrk.format(method, path, headers, body)
  end
  last = math.floor(#requests * number / 2)
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '{"requests":%d,"duration_us":%d,"bytes":%.0f,"failed":%d,"refused":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d}\n',
    summary.requests, summary.duration, summary.bytes, failed, errors.status,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)
  ))
end
