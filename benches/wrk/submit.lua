-- Submissions with unique order numbers. Arguments: tag, `key` for an idempotency key each (else `-`),
-- requests a second at most, and the channel's style (default alipay).
local next_submission

function init(args)
  next_submission = submission(args[1], args[2] == "key", args[4])
  pace(tonumber(args[3]))
end

function request()
  return next_submission()
end
