-- Times without an exception block, which no parallel plan may run before Postgres 17: what is no
-- time is seen by its parts.
create or replace function {schema}.ac_timestamptz(value text) returns timestamptz
language plpgsql immutable parallel safe as $$
begin
    -- Only a time with an offset is the same everywhere, which is what makes this immutable.
    if value !~* '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[t ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)? ?(z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)$'
        or value like '0000%'
    then
        return null;
    end if;
    if substr(value, 9, 2)::integer > extract(
        day from make_date(substr(value, 1, 4)::integer, substr(value, 6, 2)::integer, 1)
        + interval '1 month' - interval '1 day'
    ) then
        return null;
    end if;
    return value::timestamptz;
end
$$;
