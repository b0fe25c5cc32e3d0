-- Which fields change most?
-- Covers the last three hours. A day of a large account takes about a second.
select data_type, field, count(*) as changes, count(distinct record_id) as records
from ac_field_changes
where changed_at > now() - interval '3 hours'
group by 1, 2
order by 3 desc;
