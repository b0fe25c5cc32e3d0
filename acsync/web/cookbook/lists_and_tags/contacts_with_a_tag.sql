-- Which contacts have a tag, and not another one?
select contact_id, email, tags
from ac_contacts_wide
where tags @> '{Tag 3}' and not tags @> '{Tag 4}'
order by contact_id;
