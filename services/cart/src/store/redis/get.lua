-- Reads the cart at KEYS[1]: its data, its generation and its number of changes. Not HMGET, which users with the
-- permissions of earlier releases may not call.
local function get(field) return redis.call('HGET', KEYS[1], field) end
return {get('data'), get('gen'), get('ver')}
