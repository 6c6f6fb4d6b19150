//! What has to be decided where the entries are. Each script looks at the header of what is there and does the same when
//! it is done twice, so that it does not matter whether a client, a proxy or a redirection repeats it.

use std::sync::LazyLock;

use fred::types::scripts::Script;

/// KEYS: the entry. ARGV: its new bytes, how long it is kept (ms). Keeps what is there if that is newer; of the same
/// version keeps the later fact and lets the time run on.
const PUT: &str = r"
local old = redis.call('GETRANGE', KEYS[1], 1, 12)
if #old == 12 then
  local new = string.sub(ARGV[1], 2, 13)
  local function number(bytes, from, to)
    local value = 0
    for at = from, to do value = value * 256 + string.byte(bytes, at) end
    return value
  end
  local was, is = number(old, 1, 3), number(new, 1, 3)
  if is < was then return 0 end
  if is == was then
    if number(new, 5, 12) > number(old, 5, 12) then redis.call('SETRANGE', KEYS[1], 5, string.sub(new, 5, 12)) end
    return 1
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 2";

/// KEYS: the entry. ARGV: how long a final one stays (ms). Only ever shortens.
const SHOWN_FINAL: &str = r"
local flags = string.byte(redis.call('GETRANGE', KEYS[1], 4, 4))
if flags and flags % 2 == 1 and redis.call('PTTL', KEYS[1]) > tonumber(ARGV[1]) then
  return redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 0";

/// KEYS: the entry. ARGV: three bytes of version. Deletes what is there unless it is newer.
const EVICT: &str = r"
local old = redis.call('GETRANGE', KEYS[1], 1, 3)
for at = 1, #old do
  local was, up_to = string.byte(old, at), string.byte(ARGV[1], at)
  if was > up_to then return 0 end
  if was < up_to then break end
end
return redis.call('DEL', KEYS[1])";

/// The scripts and their hashes.
pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    put: Script::from_lua(PUT),
    shown_final: Script::from_lua(SHOWN_FINAL),
    evict: Script::from_lua(EVICT),
});

/// One for each change of an entry.
pub(super) struct Scripts {
    pub(super) put: Script,
    pub(super) shown_final: Script,
    pub(super) evict: Script,
}

impl Scripts {
    pub(super) fn all(&self) -> [&Script; 3] {
        [&self.put, &self.shown_final, &self.evict]
    }
}
