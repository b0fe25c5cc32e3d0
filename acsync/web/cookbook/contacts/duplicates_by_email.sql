-- Which contacts have the same address?
-- Addresses are grouped by their hashes first, because these are short.
with addresses as materialized (
    select contact_id, lower(email) as email, hashtextextended(lower(email), 0) as hash
    from ac_contacts_wide
    where email is not null
), repeated as (
    select hash from addresses group by hash having count(*) > 1
)
select email, count(*) as contacts, array_agg(contact_id order by contact_id) as contact_ids
from addresses join repeated using (hash)
group by email
having count(*) > 1
order by contacts desc;
