-- wrk's script: POST one body again and again, and report as JSON.
-- Arguments: the body's file, its Content-Type, the length of the JSON in a v2 binary body (or 0),
-- and the mean of the pauses between a connection's requests, in ms (or 0).

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  file:close()
  wrk.headers["Content-Type"] = args[2]
  if args[3] ~= "0" then
    wrk.headers["Inference-Header-Content-Length"] = args[3]
  end
  local mean = tonumber(args[4])
  if mean > 0 then
    delay = function()  -- exponential pauses: many connections together are nearly a Poisson process
      return math.floor(-mean * math.log(1 - math.random()) + math.random())
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "failed": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, failed,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
