"""Networks by name: one that ships with the package, and readers for those that other packages ship."""

from chanzi.zoo.catalog import NETWORKS, Network, calibration, feed, fetch
from chanzi.zoo.pictures import crops, photo, photos

__all__ = ["NETWORKS", "Network", "calibration", "crops", "feed", "fetch", "photo", "photos"]
