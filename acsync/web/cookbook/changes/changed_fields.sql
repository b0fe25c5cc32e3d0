-- Which fields change most?
-- Covers the last day. With 35,000 changed fields a day, a month takes half a second.
select data_type, field, count(*) as changes, count(distinct record_id) as records
from ac_field_changes
where changed_at > now() - interval '1 day'
group by 1, 2
order by 3 desc;
