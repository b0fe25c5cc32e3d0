"""acsync: every contact and deal of one ActiveCampaign account, in Postgres, whole or not at all."""
