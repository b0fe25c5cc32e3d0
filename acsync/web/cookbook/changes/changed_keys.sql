-- Which parts of the contacts changed in the kept syncs?
select change.key, count(*) as contacts
from ac_contact_versions as version
join ac_contact_versions as before
    on before.record_id = version.record_id and before.valid_to = version.valid_from
cross join lateral (
    select key, value from jsonb_each(version.record)
    except
    select key, value from jsonb_each(before.record)
) as change
group by 1
order by 2 desc;
