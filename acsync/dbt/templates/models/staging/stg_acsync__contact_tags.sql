-- Written by acsync dbt, which overwrites this file. To keep your own version, delete this line.
select
    contact_id || '-' || tag_id as contact_tag_id,
    contact_id,
    tag_id,
    tag,
    added_at
from {{ source('acsync', 'ac_contact_tags') }}
