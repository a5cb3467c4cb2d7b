-- Takes orders that are due out of the open ones at KEYS[1], and answers of each its new revision and its data. What is
-- no order is left out, so that it keeps nobody from the others.
-- ARGV: the prefix of orders, how many, milliseconds until they are due again.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local data = redis.pcall('HGET', ARGV[1] .. id, 'data')
  if data == false then
    redis.call('ZREM', KEYS[1], id)
  else
    redis.call('ZADD', KEYS[1], now + ARGV[3], id)
    local rev = type(data) == 'string' and redis.pcall('HINCRBY', ARGV[1] .. id, 'rev', 1)
    if type(rev) == 'number' then taken[#taken + 1] = {rev, data} end
  end
end
return taken
