-- The cart at KEYS[1] is on upstream's layout: a hash whose field data holds the protobuf message hipstershop.Cart. The
-- fields ver (a counter of changes), gen (a random number, as old as the cart), and added and removed (the idempotency keys
-- of the last changes of each kind) are ours. What follows begins every script.

local byte, char, sub = string.byte, string.char, string.sub

-- A varint at `at` and where it ends. 32 bits are enough: numbers here are lengths and int32.
local function varint(s, at)
  local value, scale = 0, 1
  for i = at, at + 9 do
    local more = byte(s, i)
    if not more then return nil end
    if scale < 2 ^ 35 then value = value + (more % 128) * scale end
    scale = scale * 128
    if more < 128 then return value % 2 ^ 32, i + 1 end
  end
  return nil
end

-- The field at `at`: its number, its value (bytes as a string, a varint as a number), and where it
-- ends; nil where it is not well formed.
local function field(s, at)
  local tag, value = byte(s, at, at + 1)
  if value and tag < 128 and value < 128 then
    at = at + 2
  else
    tag, at = varint(s, at)
    if not tag then return nil end
    value, at = varint(s, at)
    if not value then return nil end
  end
  local kind = tag % 8
  if kind == 0 then return tag / 8, value, at end
  local last = at + value - 1
  if kind ~= 2 or last > #s then return nil end
  return (tag - 2) / 8, sub(s, at, last), last + 1
end

local function put_varint(value)
  if value < 128 then return char(value) end
  return char(128 + value % 128) .. put_varint(math.floor(value / 128))
end

-- An int32 as protobuf writes it: a negative one takes ten bytes.
local function put_int32(value)
  if value >= 0 then return put_varint(value) end
  local low = put_varint(2 ^ 32 + value)
  return sub(low, 1, 4) .. char(byte(low, 5) + 240) .. string.rep('\255', 4) .. '\1'
end

-- The product and the quantity of a line; nil where it is none. Where the product comes first and is not `only`, the
-- quantity is not looked for.
local function item(line, only)
  if type(line) ~= 'string' then return nil end
  local id, count, at = '', 0, 1
  while at <= #line do
    local number, value
    number, value, at = field(line, at)
    if not number then return nil end
    if number == 2 then count = value end
    if number == 1 then
      id = value
      if only and id ~= only then break end
    end
  end
  if type(id) ~= 'string' or type(count) ~= 'number' then return nil end
  return id, count < 2 ^ 31 and count or count - 2 ^ 32
end

-- A line as a field of the cart.
local function put_item(id, count)
  local line = '\10' .. put_varint(#id) .. id
  if count ~= 0 then line = line .. '\16' .. put_int32(count) end
  return '\18' .. put_varint(#line) .. line
end

-- Whether a change of this kind with this key was made before: 0 if not, 5 if it was this one, 4 if it was another.
local function seen(kind, key, fingerprint)
  if key == '' then return 0 end
  local keys = redis.call('HGET', KEYS[1], kind) or ''
  local _, last = string.find(keys, '\n' .. key .. ' ', 1, true)
  if not last then return 0 end
  return sub(keys, last + 1, last + #fingerprint) == fingerprint and 5 or 4
end

-- Stores the cart, notes the key of its change, and keeps both for `ttl` seconds.
local function store(data, kind, key, fingerprint, gen, ttl)
  redis.call('HSET', KEYS[1], 'absexp', '-1', 'sldexp', '-1', 'data', data)
  if not redis.call('HGET', KEYS[1], 'gen') then redis.call('HSET', KEYS[1], 'gen', gen) end
  redis.call('HINCRBY', KEYS[1], 'ver', 1)
  if key ~= '' then
    local keys, count = '\n' .. key .. ' ' .. fingerprint, 1
    for known in string.gmatch(redis.call('HGET', KEYS[1], kind) or '', '\n[^\n]+') do
      count = count + 1
      if count <= 16 then keys = keys .. known end
    end
    redis.call('HSET', KEYS[1], kind, keys)
  end
  redis.call('EXPIRE', KEYS[1], ttl)
  return 0
end

