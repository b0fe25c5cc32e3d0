-- What was a contact like a week ago?
-- Covers the kept history. Names of fields and lists are the newest ones.
select * from ac_contact_history
where contact_id = 1 and valid_from <= now() - interval '7 days'
    and (valid_to is null or valid_to > now() - interval '7 days');
