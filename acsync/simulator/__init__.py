"""Serve an invented ActiveCampaign account, with the oddities of real ones."""
