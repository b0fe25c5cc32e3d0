-- What was deleted lately?
-- The name is known as long as the last version of the record is kept.
select data_type, record_id, created_at, deleted_at, coalesce(
    (select email from ac_contact_history
     where data_type = 'contacts' and contact_id = record_id order by valid_from desc limit 1),
    (select title from ac_deal_history
     where data_type = 'deals' and deal_id = record_id order by valid_from desc limit 1)
) as name
from ac_deleted
order by deleted_at desc
limit 500;
