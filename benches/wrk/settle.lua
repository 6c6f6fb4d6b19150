-- Each payment is submitted, and queried once after a while. Arguments: tag, the while in seconds,
-- and requests a second at most.
local next_submission, wait
-- A queue of ids and when each is to be queried.
local ids, due, first, last = {}, {}, 1, 0

function init(args)
  next_submission = submission(args[1], false)
  wait = tonumber(args[2])
  pace(tonumber(args[3]))
end

function request()
  if first <= last and due[first] <= now() then
    local id = ids[first]
    ids[first], due[first] = nil, nil
    first = first + 1
    return query(id)
  end
  return next_submission()
end

function response(status, _, body)
  if status == 202 then
    submitted = submitted + 1
    last = last + 1
    ids[last] = string.match(body, '"task_id":"(%w+)"')
    due[last] = now() + wait
  elseif status == 200 then
    polled = polled + 1
    if not string.find(body, '"state":"succeeded"', 1, true) then unsettled = unsettled + 1 end
  end
end
