-- Which fields change most?
-- Covers the kept history.
select data_type, field, count(*) as changes, count(distinct record_id) as records
from ac_field_changes
group by 1, 2
order by 3 desc;
