-- Submissions with unique order numbers. Arguments: tag, and `key` for an idempotency key each.
local next_submission

function init(args)
  next_submission = submission(args[1], args[2] == "key")
end

function request()
  return next_submission()
end
