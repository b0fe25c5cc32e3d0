-- How does the win rate develop?
-- By the time of the sync that saw the deal won or lost. Deals that were closed before the copy count only with deal_events.
select date_trunc('month', closed_at)::date as month, count(*) as closed,
    round(100.0 * count(*) filter (where status = 'won') / count(*), 1) as percent_won
from ac_deals
where closed_at is not null
group by 1
order by 1;
