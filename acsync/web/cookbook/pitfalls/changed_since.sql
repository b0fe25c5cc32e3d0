-- Which contacts changed since yesterday?
-- Every sync moves synced_at of all rows, and ActiveCampaign does not move updated_at with everything.
-- Only changed_at is a cursor. New names of fields, lists and stages do not move it.
select contact_id, email, changed_at
from ac_contacts_wide
where changed_at > now() - interval '1 day'
order by changed_at, contact_id;
