"""Serve an invented ActiveCampaign account, with the oddities that were seen at real ones."""
