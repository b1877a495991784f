"""The words of the city: metrics and units, sites, points, devices, and the inventory file."""
