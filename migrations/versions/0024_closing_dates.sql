-- closed_at of the wide view says the same as that of ac_deals: it can come from an event.
do $comment$
begin
    if not exists (
        select from {schema}.ac_field_columns where data_type = 'deals' and column_name = 'closed_at'
    ) then
        execute format(
            'comment on column {schema}.ac_deals_wide.closed_at is %L',
            (select col_description(attrelid, attnum) from pg_attribute
             where attrelid = '{schema}.ac_deals'::regclass and attname = 'closed_at'));
    end if;
end
$comment$;
