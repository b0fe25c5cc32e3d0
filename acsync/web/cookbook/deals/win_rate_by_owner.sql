-- Who wins how many of their deals?
select owner, count(*) as closed, round(100.0 * count(*) filter (where status = 'won') / count(*), 1) as percent_won
from ac_deals_wide
where status in ('won', 'lost')
group by owner_id, owner
order by percent_won desc;
