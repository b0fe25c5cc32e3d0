-- Written by acsync dbt, which overwrites this file. To keep your own version, delete this line.
select
    wide.contact_id,
    nullif(wide.email, '') as email,
    nullif(wide.first_name, '') as first_name,
    nullif(wide.last_name, '') as last_name,
    nullif(wide.phone, '') as phone,
    wide.created_at,
    wide.updated_at,
    wide.tags,
    wide.lists,
<% for column in custom.contacts %>
    wide.<< column.name | quoted >>,
<% endfor %>
    contacts.changed_at
from {{ source('acsync', 'ac_contacts_wide') }} as wide
join {{ source('acsync', 'ac_contacts') }} as contacts on contacts.contact_id = wide.contact_id
