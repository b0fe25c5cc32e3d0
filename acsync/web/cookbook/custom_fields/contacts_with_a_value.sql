-- Which contacts have a value in a field?
select contact_id, email, first_name, last_name
from ac_contacts
where custom_fields @> '{"PLAN": "gold"}'
order by contact_id;
