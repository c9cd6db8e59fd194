"""What neural differential equations keep where values are missing: classification, forecasts."""
