-- What was won each month?
-- By the time of the sync that saw the deal won, as in `closed_at`. Deals that were won before the copy count only
-- with deal_events.
with won as (
    select deal_id, max(entered_at) as won_at
    from ac_deal_stages as stay
    where status = 'won' and not is_baseline and not exists (
        select from ac_deal_stages as before
        where before.deal_id = stay.deal_id and before.left_at = stay.entered_at and before.status = 'won'
    )
    group by deal_id
)
select date_trunc('month', won_at)::date as month, currency, count(*) as deals, sum(value) as value
from won join ac_deals_wide using (deal_id)
where status = 'won'
group by 1, 2
order by 1 desc, 2;
