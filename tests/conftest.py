"""What all tests share: how hard Hypothesis tries."""

from hypothesis import settings

# Chosen by --hypothesis-profile; scripts/run_campaign.sh examples takes the campaign's.
settings.register_profile("campaign", max_examples=1000, deadline=None)
