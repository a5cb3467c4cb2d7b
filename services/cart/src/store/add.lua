-- Adds a quantity of a product to the cart at KEYS[1], in one step and on upstream's layout: a hash
-- whose field data holds the protobuf message hipstershop.Cart. The field ver is ours; it only
-- grows. Lines that another writer left twice are merged.
-- ARGV: user id, product id, quantity, seconds to live, most lines, most pieces in a line.
-- Answers 0, or 1 for a full line, 2 for a full cart, 3 for data that is no cart.

local byte, char, sub = string.byte, string.char, string.sub

-- A varint at `at` and where it ends. 32 bits are enough: numbers here are lengths and int32.
local function varint(s, at)
  local value = byte(s, at)
  if not value then return nil end
  if value < 128 then return value, at + 1 end
  value = value - 128
  local scale = 128
  for i = at + 1, at + 9 do
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
  local tag, value
  tag, at = varint(s, at)
  if not tag then return nil end
  value, at = varint(s, at)
  if not value then return nil end
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

local data = redis.call('HGET', KEYS[1], 'data') or ''
local order, quantities, at = {}, {}, 1
while at <= #data do
  local number, item
  number, item, at = field(data, at)
  if not number then return 3 end
  if number == 2 then
    if type(item) ~= 'string' then return 3 end
    local id, count, inner = '', 0, 1
    while inner <= #item do
      local which, value
      which, value, inner = field(item, inner)
      if which == 1 then id = value elseif which == 2 then count = value end
      if not which then return 3 end
    end
    if type(id) ~= 'string' or type(count) ~= 'number' then return 3 end
    if count >= 2 ^ 31 then count = count - 2 ^ 32 end
    if not quantities[id] then order[#order + 1] = id end
    quantities[id] = (quantities[id] or 0) + count
  end
end

local product = ARGV[2]
if not quantities[product] then
  if #order >= tonumber(ARGV[5]) then return 2 end
  order[#order + 1] = product
end
quantities[product] = (quantities[product] or 0) + tonumber(ARGV[3])
if quantities[product] > tonumber(ARGV[6]) then return 1 end

local parts = { '\10', put_varint(#ARGV[1]), ARGV[1] }
for _, id in ipairs(order) do
  local item = '\10' .. put_varint(#id) .. id
  if quantities[id] ~= 0 then item = item .. '\16' .. put_int32(quantities[id]) end
  parts[#parts + 1] = '\18' .. put_varint(#item) .. item
end
redis.call('HSET', KEYS[1], 'absexp', '-1', 'sldexp', '-1', 'data', table.concat(parts))
redis.call('HINCRBY', KEYS[1], 'ver', 1)
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 0
