-- Which contacts have the same address?
with repeated as (
    select lower(email) as email, count(*) as contacts from ac_contacts_wide group by 1 having count(email) > 1
)
select email, contacts, array(
    select contact_id from ac_contacts_wide as wide where lower(wide.email) = repeated.email order by 1
) as contact_ids
from repeated
order by contacts desc;
