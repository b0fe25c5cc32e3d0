-- Written by acsync dbt, which overwrites this file. To keep your own version, delete this line.
{% set zone = var('acsync_time_zone') %}
with events as (
    select list_id, list, subscribed_at as happened_at, 1 as subscribed, 0 as unsubscribed
    from {{ ref('stg_acsync__contact_lists') }}
    where subscribed_at is not null
    union all
    select list_id, list, unsubscribed_at, 0, 1
    from {{ ref('stg_acsync__contact_lists') }}
    where status = 'unsubscribed' and unsubscribed_at is not null
)

select
    (happened_at at time zone '{{ zone }}')::date as day,
    list_id,
    max(list) as list,
    sum(subscribed) as subscribed,
    sum(unsubscribed) as unsubscribed,
    sum(sum(subscribed) - sum(unsubscribed)) over (
        partition by list_id order by (happened_at at time zone '{{ zone }}')::date
    ) as balance
from events
group by 1, 2
