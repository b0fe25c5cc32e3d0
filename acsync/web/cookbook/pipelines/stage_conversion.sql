-- How many deals leave a stage, and how?
select stay.pipeline, stay.stage, count(*) as entered,
    count(*) filter (where stay.left_at is null) as still_there,
    count(*) filter (where next.status = 'won') as won,
    count(*) filter (where next.status = 'lost') as lost,
    count(*) filter (where next.status = 'open') as moved_on
from ac_deal_stages as stay
left join ac_deal_stages as next on next.deal_id = stay.deal_id and next.entered_at = stay.left_at
where stay.status = 'open'
group by 1, 2
order by 1, 2;
