-- Adds a quantity of a product to the cart at KEYS[1], in one step and on upstream's layout: a hash
-- whose field data holds the protobuf message hipstershop.Cart. The field ver is ours; it only
-- grows. Lines of the product that another writer left twice are merged.
-- ARGV: user id, product id, quantity, seconds to live, most lines, most pieces in a line.
-- Answers 0, or 1 for a full line, 2 for a full cart, 3 for data that is no cart.

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

-- Everything else stays as it is stored.
local data = redis.call('HGET', KEYS[1], 'data') or ''
local product, quantity = ARGV[2], tonumber(ARGV[3])
local lines, start, stop, has_user, at = 0, nil, nil, false, 1
while at <= #data do
  local first = at
  local number, line
  number, line, at = field(data, at)
  if not number then return 3 end
  if number == 1 then has_user = true end
  if number == 2 then
    if type(line) ~= 'string' then return 3 end
    local id, count, inner = '', 0, 1
    while inner <= #line do
      local which, value
      which, value, inner = field(line, inner)
      if not which then return 3 end
      if which == 2 then count = value end
      if which == 1 then
        id = value
        if id ~= product then break end
      end
    end
    if type(id) ~= 'string' or type(count) ~= 'number' then return 3 end
    lines = lines + 1
    if id == product then
      quantity = quantity + (count < 2 ^ 31 and count or count - 2 ^ 32)
      if start then
        data, at = sub(data, 1, first - 1) .. sub(data, at), first
      else
        start, stop = first, at
      end
    end
  end
end

if not start then
  if lines >= tonumber(ARGV[5]) then return 2 end
  start, stop = #data + 1, #data + 1
end
if quantity > tonumber(ARGV[6]) then return 1 end

local line = '\10' .. put_varint(#product) .. product
if quantity ~= 0 then line = line .. '\16' .. put_int32(quantity) end
data = sub(data, 1, start - 1) .. '\18' .. put_varint(#line) .. line .. sub(data, stop)
-- Upstream forgets whose cart it is when it empties one.
if not has_user then data = '\10' .. put_varint(#ARGV[1]) .. ARGV[1] .. data end
redis.call('HSET', KEYS[1], 'absexp', '-1', 'sldexp', '-1', 'data', data)
redis.call('HINCRBY', KEYS[1], 'ver', 1)
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 0
