-- A submission and a query in turn, for the bare server. Arguments: tag, an id.
local next_submission, the_query
local turn = false

function init(args)
  next_submission = submission(args[1], false)
  the_query = query(args[2])
end

function request()
  turn = not turn
  return turn and next_submission() or the_query
end
