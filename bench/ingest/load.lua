-- Requests of one event (/v1/track) or of several (/v1/batch), no message id twice.
-- Arguments: a name for this run, events a request, the write key.
local threads = 0
local event = '{"type":"track","event":"Order Completed","messageId":"%s-%d-%08d",' ..
  '"userId":"user-%d","timestamp":"2026-11-23T12:%02d:%02d.%03dZ","properties":{"order_id":"o-%08d",' ..
  '"revenue":9.5,"currency":"EUR","products":[{"product_id":"p1","quantity":1,"price":9.5}]},' ..
  '"context":{"library":{"name":"@segment/analytics-node","version":"3.1.0"},' ..
  '"page":{"path":"/products/teapot","title":"Teapots and more"}},"integrations":{}}'

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(arguments)
  run, events, key = arguments[1], tonumber(arguments[2]), arguments[3]
  headers = {["Content-Type"] = "application/json", ["X-Write-Key"] = key}
  sent = 0
end

local function one()
  sent = sent + 1
  return event:format(run, number, sent, sent % 5000,
    math.floor(sent / 60000) % 60, math.floor(sent / 1000) % 60, sent % 1000, sent)
end

function request()
  local sent_at = '"sentAt":"' .. os.date("!%Y-%m-%dT%H:%M:%S.123Z") .. '",'
  if events == 1 then
    return wrk.format("POST", "/v1/track", headers, "{" .. sent_at .. one():sub(2))
  end
  local batch = {}
  for i = 1, events do batch[i] = one() end
  local body = "{" .. sent_at .. '"batch":[' .. table.concat(batch, ",") .. "]}"
  return wrk.format("POST", "/v1/batch", headers, body)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\n{"answers":%d,"failed":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
