"""Break a target on purpose: plans, the nemesis, scenarios, crash points, and the smallest story of a violation."""
