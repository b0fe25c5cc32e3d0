"""Stand in for ActiveCampaign: an invented account that hurts where the real one does."""
