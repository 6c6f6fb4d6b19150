-- Queries that go round a list of ids. Arguments: the file with the ids, one a line, and the place to begin at.
local requests, at = {}, 0

function init(args)
  for id in io.lines(args[1]) do requests[#requests + 1] = query(id) end
  at = tonumber(args[2]) % #requests
end

function request()
  at = at + 1
  if at > #requests then at = 1 end
  return requests[at]
end
