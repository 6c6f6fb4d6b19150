-- Prepended to every script: counters of the thread, and the result as one line of JSON.
local ffi = require("ffi")
ffi.cdef [[
  struct perf_time { long seconds; long nanoseconds; };
  int clock_gettime(int clock, struct perf_time *now);
]]
local MONOTONIC = 1
local reading = ffi.new("struct perf_time")

function now()
  ffi.C.clock_gettime(MONOTONIC, reading)
  return tonumber(reading.seconds) + tonumber(reading.nanoseconds) * 1e-9
end

-- Holds requests back to so many a second; 0 or nothing: as many as the connections give.
function pace(rate)
  if not rate or rate <= 0 then return end
  local slot = now()
  -- wrk asks for this only where it is defined.
  function delay()
    local at = now()
    slot = math.max(slot + 1 / rate, at - 0.05)
    return math.max(0, (slot - at) * 1000)
  end
end

submitted, polled, unsettled = 0, 0, 0
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function done(summary, latency)
  local function sum(name)
    local total = 0
    for _, thread in ipairs(threads) do total = total + thread:get(name) end
    return total
  end
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.6f,"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"p50_us":%d,"p99_us":%d,"submitted":%d,"polled":%d,"unsettled":%d}\n',
    summary.requests, summary.duration / 1e6, errors.status, errors.connect, errors.read, errors.write, errors.timeout,
    latency:percentile(50), latency:percentile(99), sum("submitted"), sum("polled"), sum("unsettled")))
end

-- A submission whose order number is unique: tag and counter, always of the same length.
function submission(tag, with_key, style)
  local tail = '","amount_minor":1999,"currency":"CNY","channel":"' .. (style or "alipay") .. '"}'
  local start = '{"order_no":"' .. tag
  local length = #start + 10 + #tail
  local head = "POST /v1/pay-tasks HTTP/1.1\r\nHost: perf\r\nContent-Type: application/json\r\nContent-Length: " .. length .. "\r\n"
  local number = 1000000000
  if with_key then
    return function()
      number = number + 1
      return head .. "Idempotency-Key: " .. tag .. number .. "\r\n\r\n" .. start .. number .. tail
    end
  end
  head = head .. "\r\n" .. start
  return function()
    number = number + 1
    return head .. number .. tail
  end
end

function query(id)
  return "GET /v1/pay-tasks/" .. id .. " HTTP/1.1\r\nHost: perf\r\n\r\n"
end
