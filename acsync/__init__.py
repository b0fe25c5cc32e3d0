"""acsync: every contact and deal of an ActiveCampaign account in Postgres, whole or not at all."""
