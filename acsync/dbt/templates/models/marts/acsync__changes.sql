-- Written by acsync dbt, which overwrites this file. To keep your own version, delete this line.
-- A full refresh would lose the changes that acsync no longer keeps. The last hour is read again, in case
-- the clock of the database was set back.
{{ config(materialized='incremental', unique_key='change_id', full_refresh=false) }}
select * from {{ ref('stg_acsync__changes') }}
{% if is_incremental() %}
where changed_at >= (select coalesce(max(changed_at) - interval '1 hour', '-infinity') from {{ this }})
{% endif %}
