-- Written by acsync dbt, which overwrites this file. To keep your own version, delete this line.
select
    sync_id || '-' || data_type || '-' || record_id as change_id,
    sync_id,
    changed_at,
    data_type,
    record_id,
    change
from {{ source('acsync', 'ac_changes') }}
