-- Which contacts have the same phone number?
-- Numbers are compared without spaces, brackets, hyphens, dots and slashes, from seven characters.
with phones as materialized (
    select contact_id, translate(phone, ' ()-./', '') as number
    from ac_contacts_wide
    where length(phone) >= 7
), repeated as (
    select number, count(*) as contacts
    from phones
    group by 1
    having count(*) > 1 and length(number) >= 7
    order by contacts desc
    limit 100
)
select number, contacts, (array_agg(contact_id))[1:10] as some_contact_ids
from repeated join phones using (number)
group by 1, 2
order by contacts desc;
