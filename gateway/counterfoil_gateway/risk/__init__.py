"""The risk engine: `assess(profile, policy, now) -> Assessment`. Pure: no I/O, no clock."""
