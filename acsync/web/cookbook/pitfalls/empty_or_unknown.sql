-- How many contacts have no email address?
-- ActiveCampaign sends both null and '' for nothing. The wide views show both as null; ac_contacts and
-- custom_fields keep what came.
select count(*) as contacts, count(email) as not_null, count(nullif(email, '')) as filled
from ac_contacts;
