-- How does the win rate develop?
-- By the time of the sync that saw the deal won or lost, as in `closed_at`. Deals that were closed before the copy
-- count only with deal_events.
with closed as (
    select deal_id, status, max(entered_at) as closed_at
    from ac_deal_stages as stay
    where status in ('won', 'lost') and not is_baseline and not exists (
        select from ac_deal_stages as before
        where before.deal_id = stay.deal_id and before.left_at = stay.entered_at and before.status = stay.status
    )
    group by deal_id, status
)
select date_trunc('month', closed.closed_at)::date as month, count(*) as closed,
    round(100.0 * count(*) filter (where status = 'won') / count(*), 1) as percent_won
from closed join ac_deals_wide using (deal_id, status)
group by 1
order by 1;
