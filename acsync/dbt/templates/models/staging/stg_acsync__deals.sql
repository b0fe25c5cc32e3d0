-- Written by acsync dbt, which overwrites this file. To keep your own version, delete this line.
select
    wide.deal_id,
    wide.title,
    wide.value_minor,
    wide.value,
    wide.currency,
    wide.status,
    wide.pipeline_id,
    wide.pipeline,
    wide.stage_id,
    wide.stage,
    wide.owner_id,
    wide.owner,
    wide.contact_id,
    wide.created_at,
    wide.updated_at,
    wide.is_masked,
<% for column in custom.deals %>
    wide.<< column.name | quoted >>,
<% endfor %>
    deals.closed_at,
    deals.changed_at
from {{ source('acsync', 'ac_deals_wide') }} as wide
join {{ source('acsync', 'ac_deals') }} as deals on deals.deal_id = wide.deal_id
