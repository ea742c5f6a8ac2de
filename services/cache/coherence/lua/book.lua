-- A book is one hash: what is lost is lost together.
--   fv, fs                        the floor's versions
--   inc, till, v, s, status,      the copy: the incarnation it was stored in, until
--   etag, body, at                when it is fresh, what it is and when it was filled
--   token, token_inc, token_till  who may store the next one

local function below(v, s, fv, fs)
  return tonumber(v) < tonumber(fv or 0) or tonumber(s) < tonumber(fs or 0)
end
