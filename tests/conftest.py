"""What all tests share: how hard Hypothesis tries."""

from hypothesis import settings

# The same examples in every run: a change is judged by what it changes. scripts/run_campaign.sh examples looks further.
settings.register_profile(
    "ci", max_examples=40, derandomize=True, database=None, deadline=None, print_blob=True
)
# Chosen by --hypothesis-profile; scripts/run_campaign.sh examples takes the campaign's.
settings.register_profile("campaign", max_examples=1000, deadline=None, derandomize=False)
settings.load_profile("ci")
