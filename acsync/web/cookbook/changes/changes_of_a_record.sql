-- Which fields of a record changed, and when?
select changed_at, field, was, became
from ac_field_changes
where data_type = 'deals' and record_id = 1
order by changed_at desc, field;
