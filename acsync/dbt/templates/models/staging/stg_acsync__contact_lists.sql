-- Written by acsync dbt, which overwrites this file. To keep your own version, delete this line.
select
    contact_id || '-' || list_id as contact_list_id,
    contact_id,
    list_id,
    list,
    status,
    subscribed_at,
    unsubscribed_at,
    reason
from {{ source('acsync', 'ac_contact_lists') }}
