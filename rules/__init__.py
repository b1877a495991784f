"""The rule language, one pure `step`, condition kinds, the runner, and packs of rules."""
