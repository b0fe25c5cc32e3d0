-- How does the win rate develop?
select date_trunc('month', updated_at)::date as month, count(*) as closed,
    round(100.0 * count(*) filter (where status = 'won') / count(*), 1) as percent_won
from ac_deals
where status in ('won', 'lost')
group by 1
order by 1;
