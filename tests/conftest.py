"""What all tests share: how hard Hypothesis tries."""

import pytest
from hypothesis import settings
from hypothesis.strategies._internal.featureflags import FeatureFlags

# The same examples in every run: a change is judged by what it changes. scripts/run_campaign.sh examples looks further.
settings.register_profile(
    "ci", max_examples=40, derandomize=True, database=None, deadline=None, print_blob=True
)
# Chosen by --hypothesis-profile; scripts/run_campaign.sh examples takes the campaign's.
settings.register_profile("campaign", max_examples=1000, deadline=None, derandomize=False)
settings.load_profile("ci")


@pytest.fixture
def all_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Hypothesis switch none of a machine's rules off for a whole case, as it does at random.

    What is planted to be found needs a few rules in a row: with all of them, in half the examples. And
    its switches are drawn in the first step that meets a rule, which holds that step fast while shrinking.
    """
    monkeypatch.setattr(FeatureFlags, "is_enabled", lambda *_: True)
