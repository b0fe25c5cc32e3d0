-- Which stays in a stage can be timed?
-- acsync did not see a baseline begin, so its entered_at is only the first sync that saw the deal.
select count(*) filter (where not is_baseline) as timed, count(*) filter (where is_baseline) as baselines
from ac_deal_stages;
